from __future__ import annotations

import base64
import hashlib
import re

from deployments.gateway.api.openapi.page import CONTENT_SECURITY_POLICY, PAGE


def test_the_page_loads_nothing_from_elsewhere() -> None:
    assert not re.search(rb"https?://|//[a-z]|<(?:link|img|iframe)|\ssrc=|@import|\burl\(", PAGE)


def test_the_policy_allows_the_pages_own_script_and_style_alone() -> None:
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; ")
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    for element in (b"script", b"style"):
        (content,) = re.findall(rb"<%b>(.*?)</%b>" % (element, element), PAGE, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        assert f"{element.decode()}-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert PAGE.count(b"<script") == PAGE.count(b"<style") == 1


def test_nothing_of_the_document_becomes_markup() -> None:
    assert not re.search(rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(| on[a-z]+=\"| style=", PAGE)
