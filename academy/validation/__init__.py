"""What is asked for, read into models strictly, each refusal in words. No HTTP is here."""
