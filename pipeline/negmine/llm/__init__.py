"""Language models behind an OpenAI-compatible endpoint: prompts, a client, and what was answered, kept.

vLLM, SGLang, llama.cpp's server, Ollama and hosted ones speak this protocol. A question is a prompt and a caption;
whatever is answered is kept by the question's sha256 (`negmine.llm.answers`), so that nothing is asked twice.
"""
