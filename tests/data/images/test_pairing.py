"""Images and masks by their names alone: one mask an image, or several."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_seg.data.images.grouping import group
from tune_seg.data.images.pairing import pair
from tune_seg.errors import InputError


@pytest.mark.parametrize(
    ("images", "masks", "rule"),
    [
        (["a.jpg", "b.jpg"], ["a.png", "b.png"], None),
        (["a.jpg", "b.jpg"], ["a_mask.png", "b_mask.png"], "'X_mask' is the mask of 'X' (2 pairs)"),
        (
            ["21_training.tif", "22_training.tif"],
            ["21_manual1.png", "22_manual1.png"],
            "'X_manual1' is the mask of 'X_training'",
        ),
        (["1_sat.jpg", "2_sat.jpg"], ["1_mask.png", "2_mask.png"], "'X_mask' is the mask of 'X_sat'"),
        (["ISIC_01.jpg", "ISIC_02.jpg"], ["ISIC_01_Segmentation.png", "ISIC_02_Segmentation.png"], "'X_Segmentation'"),
        (["img_1.png", "img_2.png"], ["mask_1.png", "mask_2.png"], "'mask_X' is the mask of 'img_X'"),
        (["a.jpg", "b.png"], ["a.jpg.png", "b.png.png"], "the name of its image with the extension"),
        (["A.JPG", "b.jpg"], ["a.png", "B.png"], "upper and lower case"),
        (["1.jpg", "2.jpg", "10.jpg"], ["0001.png", "0002.png", "0010.png"], "leading zeros"),
        (["x 1.png", "x 2.png"], ["x 1 mask.png", "x 2 mask.png"], "'X mask' is the mask of 'X'"),
        (["p1/a.tif", "p2/a.tif"], ["p1/a_mask.tif", "p2/a_mask.tif"], "'X_mask' is the mask of 'X'"),
        (["Stra\u00dfe_\u00fc.png"], [unicodedata.normalize("NFD", "Stra\u00dfe_\u00fc.png")], "form of Unicode"),
    ],
)
def test_the_usual_ways_of_naming_masks_are_found_and_said(images: list[str], masks: list[str], rule: str | None) -> None:
    pairing = pair(images, masks)
    assert pairing.pairs == dict(zip(images, masks, strict=True))
    assert not pairing.images and not pairing.masks
    assert (rule is None and not pairing.rules) or (rule is not None and rule in pairing.rules[0])
    assert pair(images[::-1], masks).pairs == pairing.pairs


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["vid1_001.png", "vid1_002.png"], ["vid2_001.png", "vid2_002.png"]),
        (["cat_1.png", "cat_2.png"], ["dog_1.png", "dog_2.png"]),
        (["1.png", "2.png"], ["10.png", "20.png"]),
        (["a.png"], ["a_1.png"]),
        (["p1/a.png"], ["p2/a.png"]),
        (["1_label_color.png", "2_label_color.png"], ["1_label.png", "2_label.png"]),
    ],
)
def test_names_that_may_be_of_other_things_are_not_put_together(images: list[str], masks: list[str]) -> None:
    pairing = pair(images, masks)
    assert not pairing.pairs
    assert (pairing.images, pairing.masks) == (tuple(images), tuple(masks))


@pytest.mark.parametrize(
    ("images", "masks", "unclear"),
    [
        (["a.jpg"], ["a_mask.png", "a_gt.png"], r"a\.jpg: a_mask\.png or a_gt\.png"),
        (["a.jpg"], ["a.png", "a_gt.png"], r"a\.jpg: a\.png or a_gt\.png"),
        (["a.jpg", "b.jpg"], ["a.png", "a_mask.png", "b_mask.png"], r"a\.jpg: a\.png or a_mask\.png"),
        (
            ["1.jpg", "2.jpg"],
            ["1_manual1.png", "1_manual2.png", "2_manual1.png", "2_manual2.png"],
            r"1\.jpg: 1_manual1\.png or",
        ),
    ],
)
def test_two_masks_that_fit_one_image_are_refused_with_both_named(images: list[str], masks: list[str], unclear: str) -> None:
    with pytest.raises(InputError, match=rf"--set 'data\.options\.masks=masks/\*_gt\.png':\n  {unclear}"):
        pair(images, masks)


def test_what_several_rules_leave_is_kept_by_name() -> None:
    pairing = pair(["a.jpg", "b.jpg", "C.jpg", "alone.jpg"], ["a.png", "b_mask.png", "c.png", "other.png"])
    assert pairing.pairs == {"a.jpg": "a.png", "b.jpg": "b_mask.png", "C.jpg": "c.png"}
    assert (pairing.images, pairing.masks, len(pairing.rules)) == (("alone.jpg",), ("other.png",), 2)


names = st.lists(
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(["", "p1/", "p2/"]),
        st.sampled_from(["", "img_", "mask_", "Mask"]),
        st.sampled_from(["a", "A", "b", "1", "01", "10", "\u00fc", "u\u0308", "a b"]),
        st.sampled_from(["", "_mask", "_gt", "_MASK", "_1", "_2", ".jpg", "_crack", " (1)"]),
        st.sampled_from([".png", ".jpg", ".tif"]),
    ),
    min_size=1,
    max_size=8,
    unique=True,
)


@settings(max_examples=300, deadline=None)
@given(names, names)
def test_no_file_is_lost_and_no_mask_has_two_images(images: list[str], masks: list[str]) -> None:
    try:
        pairing = pair(images, masks)
    except InputError as error:
        assert any(name in str(error) for name in (*images, *masks))
    else:
        assert sorted([*pairing.pairs, *pairing.images]) == sorted(images)
        assert sorted([*pairing.pairs.values(), *pairing.masks]) == sorted(masks)
    grouping = group(images, masks)
    if grouping is not None:
        used = [mask for kinds in grouping.parts.values() for each in kinds.values() for mask in each]
        assert sorted(used) == sorted(masks)
        assert grouping.parts.keys() <= set(images)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.from_regex(r"[a-z]{1,4}[0-9]{1,3}", fullmatch=True), min_size=1, max_size=8, unique=True),
    st.sampled_from(["_sat", "_rgb", "", " image"]),
    st.sampled_from(["_mask", "-gt", "_Label", " seg"]),
)
def test_names_made_by_one_rule_are_put_together_by_it(stems: list[str], image: str, mask: str) -> None:
    pairing = pair([f"{stem}{image}.jpg" for stem in stems], [f"{stem}{mask}.png" for stem in stems])
    assert pairing.pairs == {f"{stem}{image}.jpg": f"{stem}{mask}.png" for stem in stems}


@pytest.mark.parametrize(
    ("images", "masks", "parts"),
    [
        (
            ["a.jpg", "b.jpg"],
            ["crack/a.png", "crack/b.png", "spall/a.png"],
            {"a.jpg": {"crack": ("crack/a.png",), "spall": ("spall/a.png",)}, "b.jpg": {"crack": ("crack/b.png",)}},
        ),
        (
            ["IDRiD_01.jpg", "IDRiD_02.jpg"],
            ["1. MA/IDRiD_01_MA.tif", "1. MA/IDRiD_02_MA.tif", "2. HE/IDRiD_01_HE.tif"],
            {
                "IDRiD_01.jpg": {"1. MA": ("1. MA/IDRiD_01_MA.tif",), "2. HE": ("2. HE/IDRiD_01_HE.tif",)},
                "IDRiD_02.jpg": {"1. MA": ("1. MA/IDRiD_02_MA.tif",)},
            },
        ),
        (
            ["a.jpg", "b.jpg"],
            ["a_crack.png", "a_spall.png", "b_crack_1.png", "b_crack_2.png"],
            {
                "a.jpg": {"crack": ("a_crack.png",), "spall": ("a_spall.png",)},
                "b.jpg": {"crack": ("b_crack_1.png", "b_crack_2.png")},
            },
        ),
        (["b (1).png"], ["b (1)_mask.png", "b (1)_mask_1.png"], {"b (1).png": {"": ("b (1)_mask.png", "b (1)_mask_1.png")}}),
        (
            ["a.jpg", "b.jpg"],
            ["a/1.png", "a/2.png", "b/1.png"],
            {"a.jpg": {"": ("a/1.png", "a/2.png")}, "b.jpg": {"": ("b/1.png",)}},
        ),
        (["00ae/00ae.png"], ["00ae/07a9.png", "00ae/0e54.png"], {"00ae/00ae.png": {"": ("00ae/07a9.png", "00ae/0e54.png")}}),
    ],
)
def test_several_masks_of_an_image_are_classes_or_objects(
    images: list[str], masks: list[str], parts: dict[str, dict[str, tuple[str, ...]]]
) -> None:
    grouping = group(images, masks)
    assert grouping is not None and grouping.parts == parts and grouping.several


@pytest.mark.parametrize(
    "masks",
    [["a_1stHO.png", "a_2ndHO.png"], ["a_mask.png", "a_gt.png"], ["a.png", "a_colour.png"], ["a_1.png", "b_1.png"]],
)
def test_two_opinions_on_one_image_are_neither_classes_nor_objects(masks: list[str]) -> None:
    assert group(["a.jpg"], masks) is None
