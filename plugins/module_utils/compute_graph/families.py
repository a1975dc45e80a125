"""Which builder makes the graph of an architecture."""

from __future__ import annotations

from typing import Callable, Sequence

from . import encoder, encoder_decoder, gemma, hybrid, indexed, kimi, latent, lightning, rwkv, special, switched
from .builder import Builder
from .decoder import Block, Recipe, build_decoder
from .recipes import RECIPES

Build = Callable[[Builder, Sequence[int]], None]


def _decoder(recipe: Recipe, block: Block | None = None) -> Build:
    return lambda b, layers: build_decoder(b, recipe, layers, block)


BUILDERS: dict[str, Build] = {
    **{name: _decoder(recipe) for name, recipe in RECIPES.items()},
    "deepseek2": _decoder(latent.RECIPE, latent.latent_block),
    "mistral4": _decoder(latent.RECIPE, latent.latent_block),
    "deepseek2-ocr": _decoder(latent.OCR),
    "plm": _decoder(Recipe(), latent.plm_block),
    "minicpm3": _decoder(latent.MINICPM_3, latent.minicpm3_block),
    **dict.fromkeys(("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3"), encoder.build_bert),
    **dict.fromkeys(("rwkv6", "rwkv7", "rwkv6qwen2", "arwkv7"), rwkv.build_rwkv),
    "t5": encoder_decoder.build_t5,
    "t5encoder": encoder_decoder.build_t5_encoder,
    **dict.fromkeys(("deepseek32", "glm-dsa"), indexed.build_indexed),
    "llama4": _decoder(special.LLAMA_4, special.llama4_block),
    "bitnet": _decoder(Recipe(), special.bitnet_block),
    "deci": _decoder(Recipe(), special.deci_block),
    "arctic": _decoder(Recipe(), special.arctic_block),
    "grok": special.build_grok,
    "smallthinker": _decoder(Recipe(), special.small_thinker_block),
    "grovemoe": _decoder(Recipe(), special.grove_block),
    "chameleon": special.build_chameleon,
    "talkie": special.build_talkie,
    "plamo2": _decoder(Recipe(), special.plamo2_block),
    "gemma3n": gemma.build_3n,
    "gemma4": gemma.build_4,
    "kimi-linear": _decoder(kimi.KIMI, kimi.kimi_block),
    "bailingmoe3": _decoder(kimi.LING, kimi.ling_block),
    "kimi-k3": kimi.build_k3,
    "minimax-01": _decoder(lightning.MINIMAX, lightning.minimax_block),
    "graniteswitch": switched.build_switched,
    "qwen3next": _decoder(hybrid.DELTA, hybrid.delta_block),
    "qwen35": _decoder(hybrid.DELTA, hybrid.delta_block),
    "qwen35moe": _decoder(hybrid.DELTA, hybrid.delta_block),
    "granitehybrid": _decoder(hybrid.GRANITE, hybrid.state_block),
    "falcon-h1": _decoder(hybrid.FALCON, hybrid.both_block),
    "nemotron_h": _decoder(hybrid.NEMOTRON, hybrid.one_block),
    "nemotron_h_moe": _decoder(hybrid.NEMOTRON, hybrid.one_block),
    "lfm2": _decoder(hybrid.LFM, hybrid.short_block),
    "lfm2moe": _decoder(hybrid.LFM, hybrid.short_block),
    "jamba": _decoder(hybrid.JAMBA, hybrid.first_state_block),
    "mamba": _decoder(hybrid.MAMBA, hybrid.mamba_block),
    "mamba2": _decoder(hybrid.MAMBA, hybrid.mamba_block),
}
