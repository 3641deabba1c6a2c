"""The starter's geometry: the published layout in about nine million parameters."""

from __future__ import annotations

from generation.config import DecoderConfig, EncodecConfig, MusicGenConfig, T5Config

STARTER_CODEC = EncodecConfig(
    num_filters=16, hidden_size=64, codebook_size=1024, num_lstm_layers=1, target_bandwidths=(2.0,)
)
STARTER_TEXT = T5Config(vocab_size=512, d_model=128, d_kv=32, d_ff=256, num_layers=3, num_heads=4)
STARTER_DECODER = DecoderConfig(
    vocab_size=1024,
    hidden_size=256,
    num_hidden_layers=5,
    num_attention_heads=4,
    ffn_dim=512,
    pad_token_id=1024,
    bos_token_id=1024,
)
STARTER = MusicGenConfig(text_encoder=STARTER_TEXT, audio_encoder=STARTER_CODEC, decoder=STARTER_DECODER)
