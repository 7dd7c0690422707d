"""Files that users bring: their formats, their check, and where they are kept. No HTTP is here."""
