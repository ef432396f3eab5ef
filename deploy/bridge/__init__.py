"""The bridge: CVAT says what people did, and the next stage of the pipeline happens, once.

    python -m deploy.bridge init      # projects, webhooks, pipeline.yaml
    python -m deploy.bridge doctor    # is every link in order?
    python -m deploy.bridge           # serve

A delivery is only a hint. It is put down (`ledger`) before it is answered; then the task it is about is looked at
(`work`), and what its state asks for is done (`actions`), each step under a key that can be there once.
"""
