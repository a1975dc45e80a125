// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// What llama.cpp itself would allocate for a model, as one line of JSON: bytes of weights, context and compute buffers, and
// the tensors. Nothing is allocated and no weight is read.
//
//     probe FILE.gguf CONTEXT PARALLEL MICRO_BATCH on|off TYPE_K TYPE_V OUTPUTS [unified] [swa-full] [embedding] [whole]
//
// CONTEXT is that of all sequences together. OUTPUTS: for how many tokens logits are reserved; a server takes PARALLEL, and
// for embeddings MICRO_BATCH. Without "whole" the file has metadata only, and llama.cpp makes up the tensors.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "ggml-backend.h"
#include "ggml.h"
#include "gguf.h"
#include "llama.h"
#include "llama-ext.h"

// src/llama-model.h; exported, but of no public header.
const std::vector<std::pair<std::string, ggml_tensor *>> & llama_internal_get_tensor_map(const llama_model * model);

static void leave_empty(ggml_tensor *, void *) {}

static void only_errors(ggml_log_level level, const char * text, void *) {
    if (level >= GGML_LOG_LEVEL_ERROR) {
        fputs(text, stderr);
    }
}

static ggml_type type_named(const char * name) {
    for (int type = 0; type < GGML_TYPE_COUNT; type++) {
        const char * known = ggml_type_name(static_cast<ggml_type>(type));
        if (known != nullptr && strcmp(known, name) == 0) {
            return static_cast<ggml_type>(type);
        }
    }
    fprintf(stderr, "unknown type %s\n", name);
    exit(2);
}

static llama_model * open_model(const char * path, bool whole) {
    llama_model_params params = llama_model_default_params();
    params.no_alloc = true;
    params.load_mode = LLAMA_LOAD_MODE_NONE;
    params.use_extra_bufts = false;
    if (whole) {
        return llama_model_load_from_file(path, params);
    }
    gguf_context * metadata = gguf_init_from_file(path, { true, nullptr });
    return metadata == nullptr ? nullptr : llama_model_init_from_user(metadata, leave_empty, nullptr, params);
}

int main(int count, char ** words) {
    if (count < 9) {
        fprintf(stderr, "probe: too few arguments\n");
        return 2;
    }
    auto asked = [&](const char * word) {
        for (int index = 9; index < count; index++) {
            if (strcmp(words[index], word) == 0) {
                return true;
            }
        }
        return false;
    };
    llama_log_set(only_errors, nullptr);
    llama_backend_init();
    llama_model * model = open_model(words[1], asked("whole"));
    if (model == nullptr) {
        return 3;
    }
    llama_context_params params = llama_context_default_params();
    params.n_ctx = atoi(words[2]);
    params.n_seq_max = atoi(words[3]);
    params.n_batch = params.n_ubatch = atoi(words[4]);
    params.flash_attn_type = strcmp(words[5], "on") == 0 ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.type_k = type_named(words[6]);
    params.type_v = type_named(words[7]);
    params.n_outputs_max = atoi(words[8]);
    params.n_outputs_max_per_seq = 1;
    params.kv_unified = asked("unified");
    params.swa_full = asked("swa-full");
    params.embeddings = asked("embedding");
    llama_context * context = llama_init_from_model(model, params);
    if (context == nullptr) {
        return 4;
    }
    llama_memory_breakdown_data sum;
    for (const auto & [type, part] : llama_get_memory_breakdown(context)) {
        sum.model += part.model;
        sum.context += part.context;
        sum.compute += part.compute;
    }
    printf("{\"weights\": %zu, \"context\": %zu, \"compute\": %zu, \"tensors\": [", sum.model, sum.context, sum.compute);
    const char * separator = "";
    for (const auto & [name, tensor] : llama_internal_get_tensor_map(model)) {
        const int64_t * shape = tensor->ne;
        printf("%s[\"%s\", [%lld, %lld, %lld, %lld], %d]", separator, name.c_str(), (long long) shape[0], (long long) shape[1],
               (long long) shape[2], (long long) shape[3], static_cast<int>(tensor->type));
        separator = ", ";
    }
    printf("]}\n");
    fflush(stdout);
    _exit(0);  // taking apart what was never allocated is not supported everywhere
}
