"""What llama.cpp decides by architecture and that shapes the memory of a model: caches, windows, recurrent layers.

Source: src/models/*.cpp (load_arch_hparams of each), src/llama-arch.cpp and create_memory of src/llama-model.cpp of
llama.cpp b10488. An architecture that is not in ARCHITECTURES is unknown: it gets an upper bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

STANDARD = "standard"
CHUNKED = "chunked"
SYMMETRIC = "symmetric"


@dataclass(frozen=True)
class Window:
    """How an architecture finds its sliding window and the layers that use it.

    ``default_tokens`` stands where the header names none (None: then there is no window); ``fixed_tokens`` overrides the
    header. ``period`` n: all layers but each n-th slide (the first of each n where ``dense_first``); 0: all slide.
    ``from_array``: a pattern array in the header is honoured (elsewhere llama.cpp ignores it, get_key_or_arr of
    llama-model-loader.cpp); ``array_only``: there is no period at all.
    """

    kind: str = STANDARD
    period: int = 0
    dense_first: bool = False
    default_tokens: int | None = None
    fixed_tokens: int | None = None
    from_array: bool = False
    array_only: bool = False
    only_block_count: int | None = None
    covers_nextn: bool = False
    attention_layers_only: bool = False


# create_tensor_gate_up_exps of src/llama-model.cpp loads fused experts whatever block they are in.
NEXTN_LOADED = r"\.ffn_gate_up_exps\."
# These create the optional tensors of such blocks without the flag to skip them (models/cohere2moe.cpp, hy-v3.cpp, step35.cpp).
NEXTN_HEADS_LOADED = NEXTN_LOADED + r"|\.nextn\.(?:embed_tokens|shared_head_head|shared_head_norm)\."
NEXTN_NETWORK_LOADED = NEXTN_HEADS_LOADED + r"|\.ffn_(?!norm)|\.exp_probs_b"


@dataclass(frozen=True)
class Architecture:
    """The facts of one architecture.

    memory: kv, none, recurrent, hybrid, dsa, msa, dsv4 (the class of cache that create_memory builds).
    state: what a recurrent layer keeps: ssm1, ssm2, gated_delta, short_conv, rwkv, kda, lightning.
    recurrent_layers: which layers are recurrent: all, both (each layer has both), zero_kv (no KV heads), zero_kv_and_ff,
    interval (each n-th layer attends). has_output: whether it turns embeddings into tokens with a matrix of the output layer;
    output_before_embedding: that matrix is created first, and so twice where it is the token embedding.
    nextn: whether the header's nextn_predict_layers is honoured; nextn_cached: whether those layers get a KV cache;
    nextn_loaded: tensors of those layers (a regular expression) that are loaded although nobody uses them.
    """

    memory: str = "kv"
    state: str | None = None
    recurrent_layers: str | None = None
    attention_interval: int = 4
    window: Window | None = None
    nextn: bool = False
    nextn_cached: bool = True
    nextn_loaded: str = NEXTN_LOADED
    mla: bool = False
    first_cached_layers: int | None = None
    shared_kv_key: bool = False
    causal: bool = True
    output_before_embedding: bool = False
    has_output: bool = True
    loops: bool = False
    router_layer: bool = False


PLAIN = Architecture()
# Encoders answer with embeddings: no matrix of theirs turns them into tokens.
ENCODER = Architecture(memory="none", causal=False, has_output=False)
DIFFUSION = Architecture(memory="none", causal=False)


def _sliding(period: int, **facts: object) -> Architecture:
    return Architecture(window=Window(period=period, **facts))  # type: ignore[arg-type]


# Every layer keeps keys and values of the whole context.
PLAIN_NAMES = frozenset(
    """
    llama deci falcon grok gpt2 gptneox mpt baichuan starcoder refact bloom stablelm qwen qwen2 qwen2moe qwen2vl qwen3
    qwen3moe qwen3vl qwen3vlmoe qwen3tts phi2 phi3 phimoe plamo codeshell orion internlm2 minicpm minicpm3 gemma starcoder2
    xverse command-r dbrx olmo olmoe openelm arctic deepseek deepseek2-ocr chatglm jais jais2 nemotron exaone granite
    granitemoe chameleon plm bailingmoe dots1 arcee ernie4_5 ernie4_5-moe paddleocr hunyuan-moe hunyuan-dense hunyuan_vl
    smollm3 seed_oss grovemoe apertus minimax-m2 cogvlm pangu-embedded mistral3 eagle3 llama-embed maincoder talkie pockettts
    t5 t5encoder
    """.split()  # noqa: SIM905 - so many words are read as words
)

ENCODER_NAMES = "bert nomic-bert nomic-bert-moe neo-bert jina-bert-v2 jina-bert-v3 eurobert wavtokenizer-dec".split()  # noqa: SIM905 - so many words are read as words
DIFFUSION_NAMES = ("dream", "llada", "llada-moe", "rnd1")

SLIDING: dict[str, Architecture] = {
    # The window is 8192 whatever the header says, and off only where it says 0 (models/llama4.cpp).
    "llama4": _sliding(4, kind=CHUNKED, default_tokens=8192, fixed_tokens=8192),
    "gemma2": _sliding(2, default_tokens=4096),
    "gemma3": _sliding(6),
    "gemma3n": replace(_sliding(5), first_cached_layers=20, output_before_embedding=True),
    "gemma4": Architecture(window=Window(array_only=True), shared_kv_key=True, output_before_embedding=True),
    # Reads its target's cache, has none of its own.
    "gemma4-assistant": Architecture(memory="none", window=Window(array_only=True), nextn=True),
    "gemma-embedding": replace(_sliding(6, kind=SYMMETRIC), memory="none", causal=False),
    "modern-bert": replace(_sliding(3, kind=SYMMETRIC, dense_first=True), memory="none", causal=False, has_output=False),
    "gpt-oss": _sliding(2),
    "cohere2": _sliding(4),
    "cohere2moe": replace(_sliding(4, dense_first=True, from_array=True), nextn=True, nextn_loaded=NEXTN_HEADS_LOADED),
    "olmo2": _sliding(4),
    "exaone4": replace(_sliding(4, default_tokens=4096, only_block_count=64), nextn=True),
    "exaone-moe": replace(_sliding(4, default_tokens=128, covers_nextn=True), nextn=True),
    "plamo3": _sliding(8),
    "smallthinker": _sliding(4, dense_first=True, fixed_tokens=4096),
    "laguna": _sliding(4, dense_first=True),
    "afmoe": _sliding(4),
    "mellum": _sliding(4, from_array=True),
    "muse-glimmer": _sliding(4, from_array=True),
    "mimo2": Architecture(window=Window(array_only=True), nextn=True, nextn_cached=False),
    "step35": Architecture(window=Window(array_only=True), nextn=True, nextn_cached=False, nextn_loaded=NEXTN_NETWORK_LOADED),
    "dflash": Architecture(window=Window(array_only=True)),
}

MULTI_TOKEN: dict[str, Architecture] = {
    "glm4": Architecture(nextn=True),
    "glm4moe": Architecture(nextn=True),
    "bailingmoe2": Architecture(nextn=True),
    "hy_v3": Architecture(nextn=True, nextn_cached=False, nextn_loaded=NEXTN_NETWORK_LOADED),
    "deepseek2": Architecture(nextn=True, mla=True),
    "mistral4": Architecture(nextn=True, mla=True),
    "deepseek32": Architecture(memory="dsa", nextn=True, nextn_cached=False, mla=True),
    "glm-dsa": Architecture(memory="dsa", nextn=True, nextn_cached=False, mla=True),
    "minimax-m3": Architecture(memory="msa"),
    "deepseek4": Architecture(memory="dsv4", window=Window(period=0, covers_nextn=True), nextn=True),
}

RECURRENT: dict[str, Architecture] = {
    "mamba": Architecture("recurrent", "ssm1", "all"),
    "mamba2": Architecture("recurrent", "ssm2", "all"),
    **{name: Architecture("recurrent", "rwkv", "all") for name in ("rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7")},
    "jamba": Architecture("hybrid", "ssm1", "zero_kv"),
    "falcon-h1": Architecture("hybrid", "ssm2", "both"),
    "plamo2": Architecture("hybrid", "ssm2", "zero_kv"),
    "granitehybrid": Architecture("hybrid", "ssm2", "zero_kv"),
    "lfm2": Architecture("hybrid", "short_conv", "zero_kv", window=Window(period=0, attention_layers_only=True)),
    "lfm2moe": Architecture("hybrid", "short_conv", "zero_kv"),
    "nemotron_h": Architecture("hybrid", "ssm2", "zero_kv_and_ff", nextn=True),
    "nemotron_h_moe": Architecture("hybrid", "ssm2", "zero_kv_and_ff", nextn=True),
    "kimi-linear": Architecture("hybrid", "kda", "zero_kv", mla=True),
    "kimi-k3": Architecture("hybrid", "kda", "zero_kv", mla=True),
    "bailingmoe3": Architecture("hybrid", "kda", "zero_kv", mla=True, nextn=True),
    "minimax-01": Architecture("hybrid", "lightning", "interval", attention_interval=8),
    **{
        name: Architecture("hybrid", "gated_delta", "interval", nextn=True, nextn_cached=False)
        for name in ("qwen3next", "qwen35", "qwen35moe")
    },
}

ARCHITECTURES: dict[str, Architecture] = {
    **dict.fromkeys(PLAIN_NAMES, PLAIN),
    **dict.fromkeys(ENCODER_NAMES, ENCODER),
    **dict.fromkeys(DIFFUSION_NAMES, DIFFUSION),
    **SLIDING,
    **MULTI_TOKEN,
    **RECURRENT,
    # The graph multiplies with the token embedding on the host, there is no copy of it (models/bitnet.cpp).
    "bitnet": Architecture(has_output=False),
    "nanbeige": Architecture(loops=True),
    "graniteswitch": Architecture(router_layer=True),
}
