"""The embedded model server, and the drivers through which Academy talks to any model server.

The server (`python -m academy.runtime`) keeps one base model and many LoRA adapters in memory and
answers OpenAI's chat requests. The drivers are light: importing them loads neither torch nor Flask.
"""
