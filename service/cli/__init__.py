"""The command `photochrom`: one file a group of commands, exit codes included."""
