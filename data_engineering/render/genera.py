"""What each genus looks like from above: growth forms, surface, colours, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Look:
    """The appearance of one genus.

    Attributes:
        forms: growth forms (`forms.FORMS`) and their odds.
        surface: pattern of the corallites (`surfaces.SURFACES`).
        feature_cm: size of one corallite, papilla or ridge, lowest and highest.
        palettes: pairs of the main colour and that of tips, walls or margins.
        median_cm: median diameter of a colony; sizes are log-normal about it.
        largest_cm: no colony is wider.
        odds: how common the genus is.
        lumps: 0..1, how knobbly the whole is.
    """

    forms: Mapping[str, float]
    surface: str
    feature_cm: tuple[float, float]
    palettes: tuple[tuple[Rgb, Rgb], ...]
    median_cm: float
    largest_cm: float
    odds: float = 1.0
    lumps: float = 0.15


GENERA: dict[str, Look] = {
    # Fleshy, with the largest corallites of all: mottled polygons with swollen walls.
    "Acanthastrea": Look(
        {"massive": 0.4, "encrusting": 0.6},
        "fleshy",
        (1.6, 2.4),
        (((128, 62, 52), (196, 150, 128)), ((92, 98, 78), (170, 122, 92)), ((112, 90, 84), (96, 150, 104))),
        11,
        30,
        0.7,
    ),
    # Slender branchlets with pale growing tips, in thickets, cushions and tables.
    "Acropora": Look(
        {"branching": 0.45, "tabular": 0.55},
        "branchlets",
        (1.0, 1.7),
        (
            ((122, 92, 66), (224, 212, 190)),
            ((140, 116, 84), (236, 226, 196)),
            ((112, 98, 112), (200, 190, 226)),
            ((96, 104, 72), (208, 214, 160)),
        ),
        18,
        60,
        1.6,
    ),
    # Domes set with small cones, each with a round dark hole.
    "Astreopora": Look(
        {"massive": 0.8, "encrusting": 0.2},
        "craters",
        (0.8, 1.1),
        (((200, 178, 148), (226, 208, 184)), ((186, 160, 160), (216, 194, 190)), ((176, 168, 130), (206, 200, 168))),
        12,
        40,
        0.8,
        0.1,
    ),
    # Small domes of separate round corallites, sharply rimmed ("Atrea": Astrea curta and its kin).
    "Atrea": Look(
        {"massive": 1.0},
        "rings",
        (0.75, 0.95),
        (((176, 112, 56), (222, 168, 104)), ((150, 110, 44), (214, 180, 90)), ((166, 98, 66), (224, 160, 116))),
        8,
        20,
        0.7,
        0.05,
    ),
    # A single free disc with radial septa about a slit.
    "Fungia": Look(
        {"solitary": 1.0},
        "septa",
        (0.35, 0.5),
        (((142, 110, 72), (196, 166, 116)), ((110, 114, 74), (170, 176, 112)), ((164, 120, 118), (216, 180, 170))),
        9,
        20,
        0.9,
        0.0,
    ),
    # Honeycomb: polygons that share thin pale walls about deep dark calices.
    "Goniastrea": Look(
        {"massive": 0.85, "encrusting": 0.15},
        "honeycomb",
        (0.8, 1.1),
        (((70, 66, 40), (176, 160, 108)), ((74, 84, 52), (190, 186, 140)), ((82, 54, 40), (190, 150, 116))),
        12,
        45,
        1.0,
        0.2,
    ),
    # Crusts of small crowded calices, pale within a dark ground.
    "Leptastrea": Look(
        {"encrusting": 0.85, "massive": 0.15},
        "studs",
        (0.5, 0.7),
        (((74, 50, 66), (180, 190, 160)), ((86, 58, 46), (206, 180, 140)), ((62, 64, 74), (150, 186, 158))),
        8,
        25,
        0.8,
        0.05,
    ),
    # Brain corals: long winding valleys.
    "Merulinidae": Look(
        {"massive": 0.8, "foliose": 0.2},
        "meanders",
        (1.1, 1.7),
        (((88, 104, 62), (178, 160, 108)), ((110, 74, 48), (190, 160, 120)), ((84, 118, 92), (170, 150, 124))),
        14,
        50,
        0.9,
        0.1,
    ),
    # Fire coral: upright mustard blades with white edges.
    "Millepora": Look(
        {"blades": 0.8, "encrusting": 0.2},
        "velvet",
        (3.0, 4.6),
        (((168, 122, 34), (244, 232, 190)), ((184, 140, 52), (248, 240, 204)), ((148, 104, 30), (232, 214, 150))),
        15,
        50,
        0.9,
    ),
    # Large domed round corallites, spaced, often with green mouths.
    "Montastrea": Look(
        {"massive": 1.0},
        "domes",
        (1.2, 1.6),
        (((112, 80, 52), (104, 150, 88)), ((126, 96, 70), (182, 176, 120)), ((96, 84, 84), (136, 160, 130))),
        13,
        40,
        0.8,
        0.1,
    ),
    # Crusts and tiers, set with papillae; margins pale, pink or blue.
    "Montipora": Look(
        {"encrusting": 0.55, "foliose": 0.45},
        "papillae",
        (0.5, 0.8),
        (
            ((122, 66, 92), (226, 180, 206)),
            ((126, 84, 60), (232, 206, 180)),
            ((92, 92, 138), (190, 196, 232)),
            ((150, 78, 62), (240, 190, 170)),
        ),
        14,
        55,
        1.3,
    ),
    # What the others are not: odd growth, odd colours (Galaxea, Turbinaria, Lobophyllia, soft corals ...).
    "Other": Look(
        {"massive": 0.3, "encrusting": 0.2, "foliose": 0.2, "knobs": 0.3},
        "tentacles",
        (0.7, 1.6),
        (((86, 150, 70), (190, 236, 150)), ((150, 160, 170), (226, 230, 236)), ((190, 176, 72), (236, 228, 150))),
        9,
        35,
        0.8,
        0.3,
    ),
    # Thin plates with fine ridges running to a pale margin.
    "Pavona/Leptoseris": Look(
        {"foliose": 0.65, "encrusting": 0.35},
        "ridges",
        (0.35, 0.55),
        (((108, 88, 58), (206, 196, 158)), ((92, 96, 62), (198, 204, 160)), ((122, 84, 70), (220, 190, 168))),
        13,
        45,
        1.0,
    ),
    # Compact bushes of stout warty branches.
    "Pocillopora": Look(
        {"knobs": 1.0},
        "warts",
        (2.2, 3.2),
        (
            ((172, 112, 104), (216, 168, 158)),
            ((156, 116, 86), (206, 176, 142)),
            ((186, 124, 134), (232, 186, 190)),
            ((134, 106, 76), (190, 166, 128)),
        ),
        13,
        35,
        1.6,
    ),
    # Smooth lumpy boulders with pores too fine to see.
    "Porites": Look(
        {"massive": 0.85, "encrusting": 0.15},
        "pores",
        (0.15, 0.25),
        (
            ((176, 146, 74), (196, 168, 98)),
            ((146, 112, 62), (170, 136, 84)),
            ((164, 152, 92), (186, 176, 118)),
            ((150, 128, 150), (176, 154, 174)),
            ((188, 130, 76), (206, 154, 102)),
        ),
        16,
        60,
        2.0,
        0.8,
    ),
    # Low grey-brown columns and crusts with a fine flowery grain.
    "Psammocora": Look(
        {"columns": 0.65, "encrusting": 0.35},
        "petals",
        (0.3, 0.45),
        (((112, 106, 88), (150, 146, 126)), ((124, 108, 112), (164, 150, 152)), ((98, 104, 80), (140, 148, 116))),
        7,
        22,
        0.7,
        0.3,
    ),
}
