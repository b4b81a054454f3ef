"""Search for the settings with which a method does best."""
