"""Recipes by architecture: what each usual decoder or encoder does differently from LLaMA.

Source: src/models/*.cpp of llama.cpp b10488. Biases and fused matrices stand as the published models have them; where the
tensors of a file are known, those decide.
"""

from __future__ import annotations

from dataclasses import replace

from .builder import LAYER
from .decoder import Recipe
from .mixture import Experts

LLAMA = Recipe(experts=Experts())
SELECTED = Experts(normed=None, selection_bias=True, shared="plain")
# Layer norms with biases, one matrix up and one down: the older decoders.
CLASSIC = Recipe(
    norm=LAYER, norm_bias=True, qkv_bias=True, attention_bias=True, activation="gelu", gate=False, ffn_bias=True, rope="none"
)
SANDWICH = Recipe(post_attention_norm=True, post_ffn_norm=True)
GEMMA = replace(SANDWICH, embedding_scaled=True, q_scaled=True, activation="gelu")
PARALLEL = Recipe(norm=LAYER, residual="parallel", logit_scaled=True)
GATED_SANDWICH = replace(SANDWICH, rope="sliding", qk_norm="head", attention_gate="wide", norm_before_rows=True)

LLAMA_LIKE: dict[str, Recipe] = {
    **dict.fromkeys(("llama", "nanbeige"), LLAMA),
    **dict.fromkeys(("xverse", "internlm2", "ernie4_5", "exaone", "paddleocr"), Recipe()),
    "smollm3": Recipe(rope="three_of_four"),
    "mistral3": LLAMA,
    "granite": Recipe(rope="finetuned", residual_scaled=True, logit_scaled=True, experts=Experts(shared="plain")),
    "qwen": Recipe(fused_qkv=True, qkv_bias=True, half_width=True),
    "qwen2": Recipe(qkv_bias=True),
    "qwen2vl": Recipe(qkv_bias=True),
    "qwen3": Recipe(qk_norm="head"),
    "baichuan": Recipe(rope="small"),
    "refact": Recipe(rope="none"),
    "orion": Recipe(norm=LAYER, norm_bias=True),
    "olmo": Recipe(norm=LAYER, norm_weight=False, clamp=True),
    "seed_oss": Recipe(qkv_bias=True),
    "pangu-embedded": Recipe(qkv_bias=True, attention_bias=True),
    "maincoder": Recipe(qk_norm="after"),
    "hunyuan-dense": Recipe(qk_norm="after"),
    "hunyuan_vl": Recipe(qk_norm="after"),
    "apertus": Recipe(qk_norm="head", activation="xielu", gate=False),
    "arcee": Recipe(activation="relu_sqr", gate=False),
    "chatglm": Recipe(fused_qkv=True, qkv_bias=True, activation="swiglu"),
    "openelm": Recipe(fused_qkv=True, qk_norm="head", value_first=True),
    "cogvlm": Recipe(fused_qkv=True, rows=False),
    "phi3": Recipe(fused_qkv=True, q_scaled=True, activation="swiglu"),
    "glm4": replace(SANDWICH, qkv_bias=True, activation="swiglu"),
    "stablelm": Recipe(norm=LAYER, norm_bias=True, qk_norm="optional", qk_norm_kind=LAYER, residual="stablelm"),
    "nemotron": Recipe(norm=LAYER, norm_bias=True, activation="relu_sqr", gate=False),
}

CLASSICS: dict[str, Recipe] = {
    "gpt2": replace(CLASSIC, fused_qkv=True, learned_positions=True),
    "starcoder": replace(CLASSIC, fused_qkv=True, learned_positions=True),
    "starcoder2": replace(CLASSIC, rope="all"),
    "codeshell": replace(CLASSIC, rope="all", fused_qkv=True),
    "bloom": replace(CLASSIC, fused_qkv=True, embedding_norm="weighted"),
    "mpt": replace(CLASSIC, norm_bias=False, qkv_bias=False, attention_bias=False, ffn_bias=False, fused_qkv=True, clamp=True),
    "gptneox": replace(CLASSIC, rope="all", fused_qkv=True, residual="neox"),
    "phi2": replace(CLASSIC, rope="all", q_scaled=True, residual="same", output_bias=True),
    "falcon": replace(
        CLASSIC,
        rope="all",
        fused_qkv=True,
        qkv_bias=False,
        attention_bias=False,
        ffn_bias=False,
        residual="same_last",
        second_norm=True,
    ),
    "jais": replace(CLASSIC, fused_qkv=True, activation="silu", gate=True),
    "jais2": replace(CLASSIC, rope="all", activation="relu_sqr"),
}

NORMED: dict[str, Recipe] = {
    "gemma": Recipe(embedding_scaled=True, q_scaled=True, activation="gelu"),
    "gemma2": replace(GEMMA, attention_soft_cap=True, soft_cap=True),
    "gemma3": replace(GEMMA, qk_norm="head"),
    "olmo2": replace(SANDWICH, pre_norm=False, ffn_norm=False, qk_norm="full"),
    "exaone4": replace(SANDWICH, pre_norm=False, ffn_norm=False, qk_norm="head", rope="sliding_or_none"),
    "plamo3": replace(SANDWICH, fused_qkv=True, qk_norm="head", activation="swiglu"),
    "muse-glimmer": replace(GATED_SANDWICH, embedding_norm="plain", logit_scaled=True, soft_cap=True),
    "cohere2": replace(PARALLEL, rope="sliding"),
    "command-r": replace(PARALLEL, qk_norm="optional", qk_norm_kind=LAYER),
    "plamo": Recipe(residual="same_last"),
}

MIXTURES: dict[str, Recipe] = {
    "minicpm": Recipe(residual_scaled=True, logit_scaled=True, experts=Experts()),
    "granitemoe": Recipe(rope="finetuned", residual_scaled=True, logit_scaled=True, experts=Experts(shared="plain")),
    "qwen3moe": Recipe(qk_norm="head", experts=Experts()),
    "qwen2moe": Recipe(qkv_bias=True, experts=Experts(normed=False, shared="silu")),
    "phimoe": Recipe(
        norm=LAYER, norm_bias=True, qkv_bias=True, attention_bias=True, q_scaled=True, output_bias=True, experts=Experts()
    ),
    "olmoe": Recipe(qk_norm="full", experts=Experts(normed=False)),
    "dbrx": Recipe(norm=LAYER, fused_qkv=True, clamp=True, experts=Experts()),
    "minimax-m2": Recipe(qk_norm="full", experts=Experts(selection_bias=True)),
    "deepseek": Recipe(experts=Experts(normed=False, shared="plain")),
    "bailingmoe": Recipe(experts=Experts(normed=None, shared="plain")),
    "bailingmoe2": Recipe(fused_qkv=True, qk_norm="head", experts=SELECTED),
    "dots1": Recipe(qk_norm="head", experts=SELECTED),
    "glm4moe": Recipe(qkv_bias=True, qk_norm="optional", experts=SELECTED),
    "hunyuan-moe": Recipe(qk_norm="after", experts=Experts(shared="plain")),
    "ernie4_5-moe": Recipe(experts=Experts(selection_bias=True, shared="plain")),
    "exaone-moe": Recipe(qk_norm="head", rope="sliding", experts=SELECTED),
    "hy_v3": Recipe(qk_norm="head", late_rows="after", experts=SELECTED),
    "mellum": Recipe(qk_norm="head", experts=Experts()),
    "qwen3vlmoe": Recipe(qk_norm="head", experts=Experts(), deep_stack=True),
    "qwen3vl": Recipe(qk_norm="head", deep_stack=True),
    "laguna": Recipe(qk_norm="head", attention_gate="head", experts=SELECTED),
    "step35": Recipe(qk_norm="head", attention_gate="head", late_rows="before", experts=SELECTED),
    "afmoe": replace(GATED_SANDWICH, embedding_scaled=True, experts=SELECTED),
    "mimo2": Recipe(sinks=True, value_scaled=True, experts=Experts(selection_bias=True)),
    "cohere2moe": replace(
        PARALLEL, rope="sliding_or_dense", late_rows="after", experts=Experts(normed=None, shared="plain", halved=True)
    ),
    "gpt-oss": Recipe(
        qkv_bias=True,
        attention_bias=True,
        sinks=True,
        experts=Experts(gating="softmax_weight", activation="swiglu_oai", bias=True, normed=False),
        late_rows="before",
    ),
}

UNCACHED = Recipe(cached=False)
ENCODERS: dict[str, Recipe] = {
    "gemma-embedding": replace(GEMMA, qk_norm="head", cached=False, logits=False),
    "modern-bert": replace(
        UNCACHED, norm=LAYER, embedding_norm="weighted", fused_qkv=True, first_pre_norm=False, activation="geglu", logits=False
    ),
    "neo-bert": replace(UNCACHED, fused_qkv=True, activation="swiglu", logits=False),
    "eurobert": replace(UNCACHED, logits=False),
    "llama-embed": replace(UNCACHED, logits=False, experts=Experts()),
    "dream": replace(UNCACHED, qkv_bias=True),
    "llada": UNCACHED,
    "llada-moe": replace(UNCACHED, qk_norm="head", experts=Experts(normed=False)),
    "rnd1": replace(UNCACHED, qk_norm="head", experts=Experts()),
}

RECIPES: dict[str, Recipe] = {**LLAMA_LIKE, **CLASSICS, **NORMED, **MIXTURES, **ENCODERS}
