"""The rows of a training: read, told apart by their use, encoded, laid into batches."""
