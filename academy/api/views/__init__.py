"""One blueprint for each noun. A view parses, calls one function and renders."""
