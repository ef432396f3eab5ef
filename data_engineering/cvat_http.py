"""The SDK's HTTP with bounded waiting, see `data_engineering.patience`."""

from __future__ import annotations

from typing import Any

import urllib3
from cvat_sdk.api_client.rest import RESTClientObject

from data_engineering.patience import CONNECT_S, READ_S


class PatientRest(RESTClientObject):
    """The SDK's HTTP, which by itself would wait for ever."""

    def request(self, *args: Any, _request_timeout: Any = None, **kwargs: Any) -> urllib3.HTTPResponse:
        """As the SDK's, with a time-out."""
        return super().request(*args, _request_timeout=_request_timeout or (CONNECT_S, READ_S), **kwargs)
