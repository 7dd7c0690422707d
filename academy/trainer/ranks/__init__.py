"""The processes of one training: where they meet, how they start and end together."""
