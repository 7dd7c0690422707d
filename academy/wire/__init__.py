"""What goes over the wire in formats that others fixed: server-sent events, OpenAI's error object.

Standard library only, and below every room that answers HTTP: the API and the model server both
speak these, and neither may import the other.
"""
