"""Figures that are programs: drawn, described, and perturbed with proof (MMCLIP, arXiv 2505.20152, without its models).

A figure is a short *program*, a tuple of typed statements in which every number is a literal. A pure function realises
it, another draws it, a caption is a list of *claims*, and an *oracle* that sees only the realised figure says of a
claim: true, false, or undecided. A perturbed program joins a group only if every member's drawing makes its own claims
true and refutes every other member's caption.

There are two domains with this one machinery: ``geometry`` and ``scenes``. A domain is one object of `Domain`.
"""
