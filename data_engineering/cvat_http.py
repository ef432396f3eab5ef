"""The SDK's HTTP with bounded waiting, see `data_engineering.patience`, and to the server that was named alone."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import urllib3
from cvat_sdk.api_client import Configuration
from cvat_sdk.api_client.rest import RESTClientObject

from data_engineering.cvat_errors import URL, RefusedError
from data_engineering.patience import CONNECT_S, READ_S


class PatientRest(RESTClientObject):
    """The SDK's HTTP, which by itself would wait for ever, and follow a redirection to whatever host."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        host, follow = urlsplit(configuration.host).hostname, self.pool_manager.urlopen

        def stay(method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            """Each step of a redirection comes through here, before anything is sent."""
            if (there := urlsplit(url).hostname) != host:
                raise RefusedError(f"the server leads to {there}, and {URL} names {host}: expected that host alone")
            return follow(method, url, *args, **kwargs)

        self.pool_manager.urlopen = stay

    def request(self, *args: Any, _request_timeout: Any = None, **kwargs: Any) -> urllib3.HTTPResponse:
        """As the SDK's, with a time-out."""
        return super().request(*args, _request_timeout=_request_timeout or (CONNECT_S, READ_S), **kwargs)
