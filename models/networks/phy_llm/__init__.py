"""The multi-task physical-layer LLM: instructions, encoders, a trunk with LoRA and four-bit weights, decoders, fit."""
