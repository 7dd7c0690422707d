"""Which rows are held out, and that none of them is trained on. No row is judged here."""
