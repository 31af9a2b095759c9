"""Evaluation: metrics, choice of the decoding, and the promotion rule."""
