"""From a stable file to a delivered result, many photographs at once."""
