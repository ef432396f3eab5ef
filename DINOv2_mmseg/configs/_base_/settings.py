"""Every setting of a training with what it means. Configs name what differs; `key=value` goes over both.

Other keys than these are refused.
"""

# What a photo is to the network.
work_px = 1036  # long side that photos are brought to; 0: as they are
crop_px = 518  # side of training views and of the windows of inference; a multiple of the patch
label_stride = 1  # losses see every so-manyth pixel of a side: 2 costs a quarter and learns edges a little coarser
augment = dict(scales=(0.5, 2.0), turns=True, tilt_deg=0.0, colour=0.5, blur=0.2)  # see views.Augment

# What is learnt.
classes = None  # names that the prepared folder must have; None takes the folder's
losses = dict(ce=1.0, dice=0.0, focal=0.0, lovasz=0.0)  # weights of the losses that are added up
class_weights = "none"  # none, sqrt (root of the inverse share of pixels) or balanced (the inverse share)
init = ""  # weights or a run to start from; a head for other classes begins anew

# How.
steps = 20000
batch_size = 8  # views a step and device; 0 finds the largest that fits (GPU)
accumulate = 1  # batches whose gradients are added up
lr = 1e-3  # of the head, and of a backbone trained from scratch
backbone_lr = 0.1  # factor for the backbone
stem_lr = 1.0  # factor for a stem that starts from weights (stem="csp")
layer_decay = 1.0  # factor from each block to the one below it
weight_decay = 0.05
warmup_steps = 500
clip_norm = 1.0  # largest norm of the gradients; 0: any
ema = 0.999  # averaging of weights; 0: none
precision = "f32"  # f32, or bf16 (mixed)
workers = 4  # processes that make views

# What is measured and kept.
overfit = 0  # photos that are both trained and validated on, as --overfit says; 0: all, each for its own
val_period = 1000  # steps from one validation to the next
val_limit = 0  # photos that are validated on; 0: all
monitor = "miou"  # miou, overall_accuracy, mean_accuracy, frequency_weighted_iou or dice
keep_best = 1  # so many best weights
patience = 0  # validations without a better figure after which training ends; 0: never
log_period = 20  # steps from one row of losses to the next
