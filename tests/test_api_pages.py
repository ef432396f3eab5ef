"""Every public file is on an API page, or is named here as a part of one that is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = (
    "quadrat",
    "quadrat/formats",
    "data_engineering",
    "data_engineering/formats",
    "yolo",
    "coral_seg_yolo",
    "DINOv2_mmseg",
    "grid_pose_detection",
    "grid_inpainting",
    "deploy/serving",
)
PARTS = {  # file -> the file on a page that it is a part of
    "quadrat.frame_view": "quadrat.verdict",
    "quadrat.lattice": "quadrat.template",
    "quadrat.outlines": "quadrat.masks",
    "quadrat.records": "quadrat.experiment",
    "quadrat.drawn_labels": "quadrat.drawn",
    "quadrat.formats.cvat_xml_meta": "quadrat.formats.cvat_xml",
    "quadrat.formats.cvat_xml_shapes": "quadrat.formats.cvat_xml",
    "data_engineering.labels": "data_engineering.dataset",
    "data_engineering.drawn_documents": "data_engineering.drawn_fields",
    "data_engineering.corrections": "data_engineering.mirror",
    "data_engineering.cvat_about": "data_engineering.cvat_server",
    "data_engineering.cvat_issues": "data_engineering.cvat_tasks",
    "data_engineering.cvat_answer": "data_engineering.cvat_annotate",
    "data_engineering.cvat_draw": "data_engineering.cvat_push",
    "data_engineering.cvat_errors": "data_engineering.cvat_server",
    "data_engineering.cvat_function": "data_engineering.cvat_annotate",
    "data_engineering.cvat_http": "data_engineering.cvat_server",
    "data_engineering.cvat_label_check": "data_engineering.cvat_push",
    "data_engineering.cvat_photos": "data_engineering.cvat_pull",
    "data_engineering.cvat_shapes": "data_engineering.cvat_json",
    "data_engineering.cvat_store": "data_engineering.cvat_pull",
    "data_engineering.function_url": "data_engineering.predict_url",
    "data_engineering.patience": "data_engineering.cvat_server",
    "data_engineering.formats.photos_alone": "data_engineering.formats.known",
    "data_engineering.formats.coco_shapes": "data_engineering.formats.coco",
    "data_engineering.formats.folders": "data_engineering.formats.zips",
    "data_engineering.formats.photo_files": "data_engineering.formats.zips",
    "data_engineering.formats.taglab_written": "data_engineering.formats.taglab",
    "data_engineering.formats.tied": "data_engineering.formats.coco",
    "data_engineering.formats.yolo_lines": "data_engineering.formats.yolo",
    "data_engineering.formats.yolo_written": "data_engineering.formats.yolo",
    "data_engineering.labelled_area": "data_engineering.splits",
    "data_engineering.linking": "data_engineering.training_folder",
    "data_engineering.places": "data_engineering.training_folder",
    "data_engineering.problem_kinds": "data_engineering.problems",
    "data_engineering.report_figures": "data_engineering.report",
    "data_engineering.report_page": "data_engineering.report",
    "data_engineering.report_pictures": "data_engineering.report",
    "data_engineering.report_scale": "data_engineering.report",
    "data_engineering.report_writing": "data_engineering.report",
    "data_engineering.review_app": "data_engineering.review",
    "data_engineering.review_brain": "data_engineering.review",
    "data_engineering.review_fields": "data_engineering.review",
    "data_engineering.review_mistakes": "data_engineering.review",
    "data_engineering.review_operator": "data_engineering.review",
    "data_engineering.review_send": "data_engineering.review",
    "data_engineering.review_views": "data_engineering.review",
    "data_engineering.rings": "data_engineering.problems",
    "data_engineering.same_picture": "data_engineering.leakage",
    "data_engineering.stratify": "data_engineering.splits",
    "data_engineering.surfaces": "data_engineering.problems",
    "data_engineering.taxonomy_fields": "data_engineering.taxonomy",
    "coral_seg_yolo.class_scores": "coral_seg_yolo.model",
    "coral_seg_yolo.exclusive": "coral_seg_yolo.model",
    "coral_seg_yolo.parity": "coral_seg_yolo.export",
    "DINOv2_mmseg.batch_size": "DINOv2_mmseg.train",
    "DINOv2_mmseg.curves": "DINOv2_mmseg.train",
    "DINOv2_mmseg.fitting": "DINOv2_mmseg.train",
    "DINOv2_mmseg.fold_report": "DINOv2_mmseg.kfold",
    "DINOv2_mmseg.fold_work": "DINOv2_mmseg.kfold",
    "DINOv2_mmseg.foreign": "DINOv2_mmseg.model",
    "DINOv2_mmseg.human_points": "DINOv2_mmseg.kfold",
    "DINOv2_mmseg.losses": "DINOv2_mmseg.network",
    "DINOv2_mmseg.measuring": "DINOv2_mmseg.evaluate",
    "DINOv2_mmseg.optimizing": "DINOv2_mmseg.train",
    "DINOv2_mmseg.plots": "DINOv2_mmseg.evaluate",
    "DINOv2_mmseg.proposals": "DINOv2_mmseg.refine",
    "DINOv2_mmseg.recording": "DINOv2_mmseg.train",
    "DINOv2_mmseg.report": "DINOv2_mmseg.evaluate",
    "DINOv2_mmseg.runners": "DINOv2_mmseg.model",
    "DINOv2_mmseg.spec": "DINOv2_mmseg.network",
    "DINOv2_mmseg.stems": "DINOv2_mmseg.backbone",
    "DINOv2_mmseg.superpixels": "DINOv2_mmseg.point_maps",
    "DINOv2_mmseg.tables": "DINOv2_mmseg.evaluate",
    "DINOv2_mmseg.truth": "DINOv2_mmseg.evaluate",
    "DINOv2_mmseg.views": "DINOv2_mmseg.train",
    "grid_inpainting.critic": "grid_inpainting.training",
    "grid_inpainting.fitting": "grid_inpainting.train",
    "grid_inpainting.lines": "grid_inpainting.strings",
    "grid_inpainting.lpips": "grid_inpainting.measuring",
    "grid_inpainting.pairs": "grid_inpainting.training",
    "grid_inpainting.plots": "grid_inpainting.evaluate",
    "grid_inpainting.recording": "grid_inpainting.train",
    "grid_inpainting.report": "grid_inpainting.evaluate",
    "grid_inpainting.segmentation": "grid_inpainting.evaluate",
    "grid_inpainting.string_score": "grid_inpainting.strings",
    "grid_pose_detection.indexing": "grid_pose_detection.matching",
    "grid_pose_detection.parity": "grid_pose_detection.export",
    "grid_pose_detection.placing": "grid_pose_detection.matching",
    "grid_pose_detection.plots": "grid_pose_detection.evaluate",
    "grid_pose_detection.projective": "grid_pose_detection.matching",
    "grid_pose_detection.refine_corners": "grid_pose_detection.refine",
    "grid_pose_detection.refine_crossings": "grid_pose_detection.refine",
    "grid_pose_detection.refine_yarn": "grid_pose_detection.refine",
    "grid_pose_detection.report": "grid_pose_detection.evaluate",
    "grid_pose_detection.sources": "grid_pose_detection.rectify",
    "grid_pose_detection.truth": "grid_pose_detection.evaluate",
    "grid_pose_detection.warp": "grid_pose_detection.matching",
    "yolo.curves": "yolo.training",
    "yolo.framework": "yolo.networks",
    "yolo.letterbox": "yolo.networks",
    "yolo.precision": "yolo.training",
    "yolo.suppress": "yolo.networks",
    "yolo.trainer": "yolo.training",
}


def files() -> set[str]:
    found = (path for folder in FOLDERS for path in (ROOT / folder).glob("*.py") if not path.name.startswith("_"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found}


def on_the_pages() -> list[str]:
    texts = (page.read_text("utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    return [name for text in texts for name in re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)]


def test_every_file_is_on_a_page_or_a_part_of_one_that_is():
    listed = on_the_pages()
    assert files() - set(listed) == set(PARTS)
    assert set(PARTS.values()) <= set(listed)


def test_no_file_is_on_two_pages():
    listed = on_the_pages()
    assert len(listed) == len(set(listed))
