"""The generator: its network, its file format, and the store of its versions."""
