"""The public test sets that are tables: a row each. What stands here was read in their authors' loaders and cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ahnpl.evaluation.columns import Columns
from ahnpl.evaluation.rows import Layout, Mean, RowSet
from ahnpl.evaluation.run import ALL_FOILS, BOTH, FOILS, GROUP, IMAGE, TEXT, TEXT_ONLY

_WRONG: Final = "wrong"
_FIRST: Final = "right: the true one comes first"
_TWO_BY_TWO: Final = tuple(Mean(name=name, measure=name) for name in (TEXT, IMAGE, GROUP))
_ONE_ABOVE: Final = Mean(name="accuracy", measure=FOILS)
_ABOVE_ALL: Final = Mean(name="accuracy", measure=ALL_FOILS)
_HARD_POSITIVES: Final = Columns(
    image_column="1.image_path",
    caption_column="2.true_caption",
    paraphrase_column="1.true_caption",
    foil_column=("1.false_caption",),
)
_HARD_POSITIVE_MEANS: Final = (
    Mean(name="original test accuracy", measure=FOILS, over_kinds=True),
    Mean(name="augmented test accuracy", measure=BOTH, over_kinds=True),
)
_QA: Final = Columns(image_column="1", caption_column="2", foil_column=("3",))
_QA_MEAN: Final = Mean(name="accuracy, mean of one and two objects", measure=FOILS, over_kinds=True)
_WHATSUP: Final = "github.com/amitakamath/whatsup_vlms"
_CONTROLLED: Final = Columns(image_column="image_path", choice_column=("caption_options",))
_BY_PAIR: Final = "pair and set accuracy, which its authors print too, are not computed"


def _pairs(first: str, caption: str, second: str, other: str, kind: str | None = None) -> Columns:
    return Columns(
        image_column=first,
        caption_column=caption,
        second_image_column=second,
        second_caption_column=other,
        kind_column=kind,
    )


SETS: Final[Mapping[str, RowSet]] = {
    "bivlc": RowSet(
        title="BiVLC",
        layout=Layout(
            columns=_pairs("image", "caption", "negative_image", "negative_caption", "type"),
            files=("**/*.parquet",),
        ),
        counts={"": 2_933},
        means=(
            Mean(name="I2T (2x2 text score)", measure=TEXT),
            Mean(name="T2I (2x2 image score)", measure=IMAGE),
            Mean(name="group score", measure=GROUP),
        ),
        ties=_WRONG,
        licence="MIT",
        source="hf.co/datasets/imirandam/BiVLC",
        beware="real images against generated ones, which a probe tells apart",
    ),
    "cc-neg": RowSet(
        title="CC-Neg",
        layout=Layout(
            columns=Columns(image_column="image", caption_column="caption", foil_column=("negated",)),
            files=("*.jsonl",),
            file_names=True,
        ),
        counts={"": 40_000},
        means=(_ONE_ABOVE,),
        ties=_FIRST,
        licence="MIT",
        source="github.com/jaisidhsingh/CoN-CLIP",
        beware="comes as a pickle: [write it as JSONL](#cc-neg) first",
    ),
    "coco-counterfactuals": RowSet(
        title="COCO-Counterfactuals",
        layout=Layout(columns=_pairs("image_0", "caption_0", "image_1", "caption_1"), files=("examples.jsonl",)),
        means=_TWO_BY_TWO,
        ties="not seen",
        licence="on its card",
        source="hf.co/datasets/Intel/COCO-Counterfactuals",
        beware="all images are generated; its authors' own measure was not seen, these are Winoground's",
    ),
    "colorfoil": RowSet(
        title="ColorFoil",
        layout=Layout(
            columns=Columns(image_column="image_url", caption_column="caption", foil_column=("foil",)),
            files=("*.json",),
            file_names=True,
        ),
        means=(_ONE_ABOVE,),
        ties=_WRONG,
        licence="MIT",
        source="github.com/samin9796/ColorFoil",
        beware="made by chance from COCO val2017 anew each time; the layout is that of github.com/kargibora/CS-CLIP",
    ),
    "colorswap": RowSet(
        title="ColorSwap",
        layout=Layout(
            columns=_pairs("image_1", "caption_1", "image_2", "caption_2", "image_source"), files=("**/test*.parquet",)
        ),
        means=_TWO_BY_TWO,
        ties="not seen",
        licence="MIT",
        source="hf.co/datasets/stanfordnlp/colorswap",
        beware="generated images; `test.json` of its repository is read too, if you name the file",
    ),
    "crepe": RowSet(
        title="CREPE, productivity",
        layout=Layout(
            columns=Columns(image_column="image_id", caption_column="caption", foil_column=("hard_negs",)),
            files=("**/prod_vg_hard_negs_*.csv",),
            kind_is_file=True,
            box=("x", "y", "width", "height"),
        ),
        means=(Mean(name="image to text R@1, mean of files", measure=ALL_FOILS, over_kinds=True),),
        ties="as the sort falls",
        licence="none stated",
        source="github.com/RAIVNLab/CREPE",
        beware="images are cut to their box; systematicity: name its file and `--foil-column valid_hard_negs_atom`, "
        "`valid_hard_negs_comp` or `valid_hard_negs_combined`",
    ),
    "eqben-mini": RowSet(
        title="EqBen, small subset",
        layout=Layout(columns=_pairs("image0", "caption0", "image1", "caption1"), files=("all_select.json",)),
        means=_TWO_BY_TWO,
        ties=_WRONG,
        licence="Apache-2.0",
        source="github.com/Wangt-CN/EqBen",
        beware="read as github.com/linzhiqiu/t2v_metrics does; the layout of the full annotation was not seen",
    ),
    "hard-positives-replace": RowSet(
        title="Hard positives, REPLACE",
        layout=Layout(
            columns=_HARD_POSITIVES,
            files=("vl_checklist_*.json",),
            kind_is_file=True,
            file_names=True,
            beside=("swapped_data", "data"),
        ),
        counts={"vl_checklist_attributes": 10_575, "vl_checklist_relations": 16_868},
        means=_HARD_POSITIVE_MEANS,
        ties=_WRONG,
        licence="none stated",
        source="github.com/amitakamath/hard_positives",
        beware="brittleness is not computed",
    ),
    "hard-positives-swap": RowSet(
        title="Hard positives, SWAP",
        layout=Layout(
            columns=_HARD_POSITIVES,
            files=("visual_genome_attribution.json",),
            file_names=True,
            box=("1.bbox_x", "1.bbox_y", "1.bbox_w", "1.bbox_h"),
            beside=("swapped_data", "data"),
        ),
        means=_HARD_POSITIVE_MEANS,
        ties=_WRONG,
        licence="none stated",
        source="github.com/amitakamath/hard_positives",
        beware="images are cut to their box; both true captions are held against the false one of `swapped_data`",
    ),
    "mmvp-vlm": RowSet(
        title="MMVP-VLM",
        layout=Layout(
            columns=_pairs("{1.Question ID}.jpg", "1.Statement", "{2.Question ID}.jpg", "2.Statement", "1.Type"),
            files=("Questions.csv",),
            prompt="a photo of {}",
            together=2,
        ),
        counts={"": 135},
        means=(Mean(name="both statements choose their image, mean of patterns", measure=IMAGE, over_kinds=True),),
        ties=_WRONG,
        licence="MIT",
        source="hf.co/datasets/MMVP/MMVP_VLM",
    ),
    "naturalbench": RowSet(
        title="NaturalBench-Retrieval",
        layout=Layout(columns=_pairs("image_0", "caption_0", "image_1", "caption_1"), files=("metadata.json",)),
        means=_TWO_BY_TWO,
        ties=_WRONG,
        licence="Apache-2.0",
        source="hf.co/datasets/BaiqiL/NaturalBench",
        beware="`NaturalBench-Retrieval.zip`; the questions of its other part are not for two towers",
    ),
    "negbench": RowSet(
        title="NegBench, choice",
        layout=Layout(
            columns=Columns(
                image_column="image_path",
                choice_column=("caption_0", "caption_1", "caption_2", "caption_3"),
                index_column="correct_answer",
                kind_column="correct_answer_template",
            ),
            files=("*_mcq_llama3.1_rephrased.csv",),
            file_names=True,
        ),
        counts={"COCO_val_mcq_llama3.1_rephrased": 5_914, "VOC2007_mcq_llama3.1_rephrased": 5_031},
        means=(_ABOVE_ALL,),
        ties=_FIRST,
        licence="MIT",
        source="github.com/m1k2zoo/negbench",
        beware="one file at a time, as papers do; numbers of items were computed from its published accuracies",
    ),
    "negbench-retrieval": RowSet(
        title="NegBench, retrieval",
        layout=Layout(
            columns=Columns(image_column="filepath", caption_column="captions"),
            files=("COCO_val_negated_retrieval_llama3.1_rephrased_affneg_true.csv",),
            file_names=True,
        ),
        means=tuple(
            Mean(name=name, measure=name)
            for name in ("text to image R@1", "text to image R@5", "image to text R@1", "image to text R@5")
        ),
        ties="as the sort falls",
        licence="MIT",
        source="github.com/m1k2zoo/negbench",
        beware="its other files, such as `COCO_val_retrieval.csv`, are read if you name them",
    ),
    "spec": RowSet(
        title="SPEC, image to text",
        layout=Layout(
            columns=Columns(image_column="query", choice_column=("keys",), index_column="label"),
            files=("**/image2text.json",),
            kind_is_file=True,
        ),
        means=(Mean(name="image to text, mean of subsets", measure=ALL_FOILS, over_kinds=True),),
        ties="not seen",
        licence="not seen",
        source="read as github.com/kargibora/CS-CLIP does",
        beware="needs no `--images`; text to image is not read",
    ),
    "sugarcrepe++": RowSet(
        title="SugarCrepe++",
        layout=Layout(
            columns=Columns(
                image_column="filename",
                caption_column="caption",
                paraphrase_column="caption2",
                foil_column=("negative_caption",),
            ),
            files=("*.json",),
            kind_is_file=True,
        ),
        means=(
            Mean(name="image to text, mean of files", measure=BOTH, over_kinds=True),
            Mean(name="text only, mean of files", measure=TEXT_ONLY, over_kinds=True),
        ),
        ties=_WRONG,
        licence="CC BY 4.0",
        source="hf.co/datasets/Aman-J/SugarCrepe_pp",
    ),
    "vismin": RowSet(
        title="VisMin",
        layout=Layout(
            columns=_pairs("image_0", "text_0", "image_1", "text_1", "category"),
            files=("**/*.arrow", "**/*.parquet"),
        ),
        counts={"": 2_084},
        means=_TWO_BY_TWO,
        ties=_WRONG,
        licence="CC BY 4.0",
        source="hf.co/datasets/mair-lab/vismin-bench",
        beware="its authors print the kinds only, rounded",
    ),
    "vl-checklist": RowSet(
        title="VL-CheckList",
        layout=Layout(
            columns=Columns(image_column="1", caption_column="2.POS.1", foil_column=("2.NEG",)),
            files=("**/*.json",),
            kind_is_file=True,
        ),
        means=(Mean(name="accuracy, mean of files", measure=FOILS, over_kinds=True),),
        ties=_WRONG,
        licence="none stated",
        source="github.com/om-ai-lab/VL-CheckList",
        beware="`data/Attribute`, `data/Object`, `data/Relation` one by one; its script takes 1,000 of a file",
    ),
    "whatsup-a": RowSet(
        title="What'sUp A",
        layout=Layout(columns=_CONTROLLED, files=("controlled_images_dataset.json",), file_names=True),
        means=(_ABOVE_ALL,),
        ties=_FIRST,
        licence="MIT",
        source=_WHATSUP,
        beware=_BY_PAIR,
    ),
    "whatsup-b": RowSet(
        title="What'sUp B",
        layout=Layout(columns=_CONTROLLED, files=("controlled_clevr_dataset.json",), file_names=True),
        means=(_ABOVE_ALL,),
        ties=_FIRST,
        licence="MIT",
        source=_WHATSUP,
        beware=_BY_PAIR,
    ),
    "whatsup-coco": RowSet(
        title="What'sUp COCO-QA",
        layout=Layout(
            columns=Columns(image_column="{1:0>12}.jpg", caption_column="2", foil_column=("3",)),
            files=("coco_qa_one_obj.json", "coco_qa_two_obj.json"),
            kind_is_file=True,
        ),
        means=(_QA_MEAN,),
        ties=_FIRST,
        licence="MIT",
        source=_WHATSUP,
        beware="images are COCO val2017",
    ),
    "whatsup-vg": RowSet(
        title="What'sUp VG-QA (GQA)",
        layout=Layout(columns=_QA, files=("vg_qa_one_obj.json", "vg_qa_two_obj.json"), kind_is_file=True),
        means=(_QA_MEAN,),
        ties=_FIRST,
        licence="MIT",
        source=_WHATSUP,
        beware="images are its `vg_images`",
    ),
    "winoground": RowSet(
        title="Winoground",
        layout=Layout(
            columns=_pairs("image_0", "caption_0", "image_1", "caption_1", "collapsed_tag"), files=("examples.jsonl",)
        ),
        means=_TWO_BY_TWO,
        ties=_WRONG,
        licence="its own, on its card",
        source="hf.co/datasets/facebook/winoground",
    ),
}
"""By the format's name. Readers of sets that are no tables, or are more than that, are modules of their own."""


def as_markdown(sets: Mapping[str, RowSet] = SETS) -> str:
    """The table of docs/evaluate.md."""
    heads = ("format", "what", "items", "as its authors average", "a tie there", "licence", "where, and what to know")
    lines = [heads, ("---",) * len(heads), *(_cells(name, one) for name, one in sets.items())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(name: str, one: RowSet) -> tuple[str, ...]:
    assert one.layout is not None, "a public set has a layout"
    columns = one.layout.columns
    counts = ", ".join(f"{stem}: {n:,}".removeprefix(": ") for stem, n in (one.counts or {}).items())
    means = ", ".join(mean.name for mean in one.means)
    what = f"{one.title}: {columns.shape}; {_listed(columns.names)}"
    where = "; ".join(filter(None, (one.source, one.beware)))
    return f"`{name}`", what, counts or "not seen", means, one.ties, one.licence, where


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(f"`{column}`" for column in columns)
