"""What keeps an installation in order: what nobody names any more is removed."""
