"""What requests and answers look like: pydantic models, from which OpenAPI is generated."""
