"""GLCIC: globally and locally consistent image completion (Iizuka 2017; Wang & Wang 2020)."""
