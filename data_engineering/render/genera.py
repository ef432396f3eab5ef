"""What each genus looks like from above: growth forms, surface, colours, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Look:
    """The appearance of one genus.

    Attributes:
        forms: growth forms (`forms.FORMS`) and their odds.
        surface: pattern of the corallites (`surfaces.SURFACES`).
        feature_cm: size of one corallite, papilla or ridge, lowest and highest.
        palettes: pairs of the main colour and that of tips, walls or margins; one colony drifts between two pairs.
        median_cm: median diameter of a colony; sizes are log-normal about it.
        largest_cm: no colony is wider.
        odds: how common the genus is.
        lumps: 0..1, how knobbly the whole is.
        gathers: 0..1, how often it covers the ground in many colonies side by side.
        surfaces: by growth form, where it is not `surface`.
    """

    forms: Mapping[str, float]
    surface: str
    feature_cm: tuple[float, float]
    palettes: tuple[tuple[Rgb, Rgb], ...]
    median_cm: float
    largest_cm: float
    odds: float = 1.0
    lumps: float = 0.15
    gathers: float = 0.1
    surfaces: Mapping[str, str] = field(default_factory=dict)


GENERA: dict[str, Look] = {
    # Low and fleshy, with the largest corallites of all: swollen, wrinkled, mottled red and green.
    "Acanthastrea": Look(
        {"massive": 0.3, "encrusting": 0.7},
        "fleshy",
        (1.5, 2.4),
        (
            ((126, 62, 50), (108, 124, 84)),
            ((84, 94, 64), (156, 92, 70)),
            ((138, 84, 68), (176, 148, 118)),
            ((98, 82, 72), (104, 134, 96)),
            ((118, 56, 54), (170, 120, 98)),
        ),
        11,
        30,
        0.7,
    ),
    # Slender branchlets with pale growing tips, in thickets, cushions and tables.
    "Acropora": Look(
        {"branching": 0.55, "tabular": 0.45},
        "branchlets",
        (1.0, 1.6),
        (
            ((112, 94, 78), (208, 200, 184)),
            ((140, 116, 86), (228, 218, 190)),
            ((104, 102, 74), (194, 194, 154)),
            ((112, 104, 108), (194, 188, 200)),
            ((164, 142, 108), (238, 230, 208)),
            ((96, 80, 60), (214, 196, 150)),
        ),
        18,
        60,
        1.6,
        gathers=0.8,
    ),
    # Domes set with small cones, each with a round dark hole.
    "Astreopora": Look(
        {"massive": 0.8, "encrusting": 0.2},
        "craters",
        (0.7, 1.0),
        (
            ((186, 160, 128), (212, 190, 160)),
            ((170, 148, 138), (200, 182, 172)),
            ((166, 156, 124), (196, 188, 158)),
            ((190, 148, 102), (214, 178, 134)),
        ),
        12,
        40,
        0.8,
        0.12,
    ),
    # Small domes of separate round corallites, sharply rimmed ("Atrea": Astrea curta and its kin).
    "Atrea": Look(
        {"massive": 1.0},
        "rings",
        (0.7, 0.95),
        (
            ((150, 106, 64), (206, 164, 112)),
            ((140, 112, 62), (204, 178, 110)),
            ((128, 98, 74), (190, 158, 126)),
            ((158, 118, 84), (216, 186, 150)),
        ),
        8,
        20,
        0.7,
        0.08,
    ),
    # A single free disc with radial septa about a slit.
    "Fungia": Look(
        {"solitary": 1.0},
        "septa",
        (0.25, 0.4),
        (
            ((128, 104, 74), (178, 154, 114)),
            ((108, 110, 78), (160, 164, 118)),
            ((144, 116, 110), (194, 168, 158)),
            ((112, 90, 66), (170, 146, 112)),
        ),
        9,
        20,
        0.9,
        0.0,
        0.3,
    ),
    # Honeycomb: polygons that share thin pale walls about deep dark calices.
    "Goniastrea": Look(
        {"massive": 0.85, "encrusting": 0.15},
        "honeycomb",
        (0.75, 1.1),
        (
            ((78, 70, 48), (164, 150, 106)),
            ((80, 86, 58), (170, 168, 126)),
            ((88, 66, 52), (176, 146, 116)),
            ((96, 88, 74), (180, 170, 146)),
        ),
        12,
        45,
        1.0,
        0.25,
    ),
    # Thin crusts of small crowded calices, pale within a dark ground.
    "Leptastrea": Look(
        {"encrusting": 0.9, "massive": 0.1},
        "studs",
        (0.4, 0.65),
        (
            ((78, 60, 66), (166, 172, 148)),
            ((84, 64, 52), (188, 170, 136)),
            ((70, 68, 72), (146, 168, 150)),
            ((96, 78, 58), (180, 162, 124)),
        ),
        8,
        25,
        0.8,
        0.05,
    ),
    # Brain corals: long winding valleys.
    "Merulinidae": Look(
        {"massive": 0.85, "foliose": 0.15},
        "meanders",
        (0.9, 1.6),
        (
            ((88, 98, 66), (164, 150, 108)),
            ((104, 78, 54), (176, 152, 116)),
            ((84, 104, 86), (158, 144, 118)),
            ((112, 96, 70), (182, 170, 134)),
        ),
        14,
        50,
        0.9,
        0.15,
    ),
    # Fire coral: upright mustard blades with white edges.
    "Millepora": Look(
        {"blades": 0.8, "encrusting": 0.2},
        "velvet",
        (2.4, 4.2),
        (
            ((140, 112, 58), (224, 210, 172)),
            ((148, 120, 68), (230, 220, 188)),
            ((122, 96, 50), (212, 194, 144)),
            ((146, 122, 76), (228, 216, 184)),
        ),
        15,
        50,
        0.9,
        gathers=0.4,
    ),
    # Large domed round corallites, spaced, often with green mouths.
    "Montastrea": Look(
        {"massive": 1.0},
        "domes",
        (1.1, 1.6),
        (
            ((114, 86, 60), (108, 138, 90)),
            ((122, 98, 74), (170, 164, 118)),
            ((96, 86, 82), (132, 148, 120)),
            ((134, 104, 70), (176, 148, 104)),
        ),
        13,
        40,
        0.8,
        0.12,
    ),
    # Crusts and tiers, set with papillae; margins pale, pink or blue.
    "Montipora": Look(
        {"encrusting": 0.5, "foliose": 0.5},
        "papillae",
        (0.4, 0.7),
        (
            ((118, 82, 88), (200, 172, 184)),
            ((132, 88, 66), (218, 188, 164)),
            ((104, 98, 114), (182, 178, 196)),
            ((142, 92, 72), (220, 180, 158)),
            ((128, 98, 84), (214, 188, 168)),
        ),
        14,
        55,
        1.3,
        gathers=0.5,
    ),
    # What the others are not: leather corals with folded rims, soft fingers, Galaxea's spikes, Turbinaria's cups.
    "Other": Look(
        {"leathery": 0.35, "branching": 0.2, "massive": 0.25, "foliose": 0.2},
        "velvet",
        (0.8, 1.5),
        (
            ((168, 154, 116), (206, 196, 164)),
            ((146, 150, 116), (198, 202, 172)),
            ((176, 156, 152), (214, 198, 194)),
            ((110, 132, 92), (190, 206, 164)),
            ((160, 146, 92), (208, 198, 146)),
        ),
        11,
        40,
        0.8,
        0.2,
        0.3,
        {"branching": "fingers", "massive": "spikes", "foliose": "cups"},
    ),
    # Thin plates with fine ridges running to a pale margin.
    "Pavona/Leptoseris": Look(
        {"foliose": 0.55, "encrusting": 0.45},
        "ridges",
        (0.3, 0.5),
        (
            ((104, 94, 62), (190, 182, 144)),
            ((94, 96, 70), (184, 186, 150)),
            ((98, 86, 66), (192, 180, 150)),
            ((116, 110, 80), (196, 190, 154)),
        ),
        13,
        45,
        1.0,
        gathers=0.3,
    ),
    # Compact bushes of stout branches, each a head of warts.
    "Pocillopora": Look(
        {"knobs": 1.0},
        "warts",
        (1.7, 2.6),
        (
            ((138, 102, 92), (186, 150, 138)),
            ((124, 94, 70), (178, 146, 112)),
            ((146, 112, 112), (192, 160, 160)),
            ((110, 92, 68), (168, 148, 116)),
            ((142, 122, 94), (194, 174, 144)),
        ),
        13,
        35,
        1.6,
        gathers=0.4,
    ),
    # Boulders heaped of smooth lobes; pores too fine to see.
    "Porites": Look(
        {"massive": 0.88, "encrusting": 0.12},
        "pores",
        (0.15, 0.25),
        (
            ((168, 144, 94), (190, 168, 116)),
            ((140, 118, 80), (166, 144, 104)),
            ((158, 148, 106), (182, 174, 132)),
            ((144, 130, 138), (168, 154, 160)),
            ((176, 138, 94), (198, 164, 118)),
            ((122, 110, 88), (150, 140, 116)),
            ((186, 166, 124), (204, 188, 150)),
        ),
        17,
        60,
        2.0,
        0.9,
        0.8,
    ),
    # Low columns and ridged crusts, grey-brown, matt as felt.
    "Psammocora": Look(
        {"columns": 0.6, "encrusting": 0.4},
        "felt",
        (0.25, 0.4),
        (
            ((132, 126, 110), (160, 154, 138)),
            ((134, 122, 118), (162, 152, 148)),
            ((122, 122, 104), (152, 154, 132)),
            ((114, 104, 90), (146, 136, 122)),
        ),
        7,
        22,
        0.7,
        0.3,
    ),
}
