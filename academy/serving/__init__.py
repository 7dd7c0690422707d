"""The model servers that answer with adapters, each kind behind one interface. No route is here."""
