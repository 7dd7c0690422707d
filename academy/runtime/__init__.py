"""The embedded model server, a program: ``python -m academy.runtime``.

It keeps one base model and many LoRA adapters in memory and answers OpenAI's chat requests. It
knows adapters by their folders: no alias, no job and no database.
"""
