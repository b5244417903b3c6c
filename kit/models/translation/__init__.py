"""Translation models: an encoder, a decoder and their tokenizers."""
