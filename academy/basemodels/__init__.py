"""What a base model is: where it lies, its shape, its tokenizer. Knows no adapter and no job."""
