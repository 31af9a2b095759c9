"""The generator and its versions: the network, its file, the store."""
