"""The dashboard: what it refuses over HTTP, and how it works in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from browser import browsing, complaints, photograph, prefer, resize, why_not
from parties import add_party
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from serving import Server, eventually, load, md5_of, run, serving

HOSTILE = "<script>alert('owned')</script>"
OTHER = "Other & Sons <b>"
needs_browser = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@dataclass(frozen=True, slots=True)
class Place:
    """A server with some parties, and their keys."""

    server: Server
    data: Path
    owner: str
    host: str
    other: str

    @property
    def url(self) -> str:
        return f"{self.server.url}/dashboard"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    data = tmp_path_factory.mktemp("dashboard") / "data"
    known = [md5_of(f"known {n}") for n in range(5)]
    rows = "".join(f"{text},<i>cat</i>,A-{n}\n" for n, text in enumerate(known))
    load(data, "police", "md5,category,id\n" + rows)
    owner = add_party(data, "owner", "--permission", "admin")
    host, other = add_party(data, HOSTILE), add_party(data, OTHER)
    with serving(data, workers=2) as server:
        with server.client() as client:
            for key, misses in ((host, 1234), (other, 777_777)):
                body = {"md5": [*known, *(md5_of(str(n)) for n in range(1000))]}
                for at in range(0, misses, 100_000):
                    hashes = b"".join(n.to_bytes(16, "big") for n in range(at, min(misses, at + 100_000)))
                    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/octet-stream"}
                    assert client.post("/v2/check?type=md5", content=hashes, headers=headers).status_code == 200
                answer = client.post("/v2/check", json=body, headers={"Authorization": f"Bearer {key}"})
                assert len(answer.json()["matches"]) == 5
            told = {"set": "police", "id": "A-1", "verdict": "false-positive"}
            assert (
                client.post("/v2/feedback", json=told, headers={"Authorization": f"Bearer {host}"}).status_code
                == 201
            )
        yield Place(server, data, owner, host, other)


@contextmanager
def client_of(place: Place, key: str) -> Iterator[httpx.Client]:
    """A client that has signed in."""
    with place.server.client() as client:
        answer = client.post("/dashboard/sign-in", data={"key": key})
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard")
        yield client


def knows(server: Server, key: str) -> None:
    """Wait until both workers know a key."""
    headers = {"Authorization": f"Bearer {key}"}
    eventually(lambda: all(server.each_worker(lambda client: client.get("/v2/sets").is_success, headers=headers)))


def page_with(client: httpx.Client, path: str, *words: str) -> str:
    """A page once it says this: figures are on disk after a second, and are cached for four."""
    return eventually(
        lambda: all(word in (text := client.get(f"/dashboard{path}").text) for word in words) and text
    )


def statuses(place: Place, client: httpx.Client) -> set[int]:
    """What both workers answer to the session of a client."""
    cookies = dict(client.cookies)
    return set(place.server.each_worker(lambda other: other.get("/dashboard").status_code, cookies=cookies))


def form_token(client: httpx.Client) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', client.get("/dashboard").text)
    assert found
    return found[1]


def test_nobody_sees_anything_before_signing_in(place: Place) -> None:
    with place.server.client() as client:
        for path in ("", "/sets", "/parties", "?party=1"):
            answer = client.get(f"/dashboard{path}")
            assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/sign-in")
        assert client.get("/dashboard/live").status_code == 401
        assert client.get("/dashboard", headers={"Authorization": f"Bearer {place.owner}"}).status_code == 303
        for forged in (b"x", b"A" * 108, "é".encode() * 54):
            answer = client.get("/dashboard", headers={"Cookie": b"hashserver_session=" + forged})
            assert answer.status_code == 303


def test_every_answer_carries_the_policy(place: Place) -> None:
    with client_of(place, place.owner) as client:
        for path in ("", "/sets", "/parties", "/live", "/sign-in", "?party=99", "/static/dashboard.css"):
            headers = client.get(f"/dashboard{path}").headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
            assert "frame-ancestors 'none'; base-uri 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == ("no-cache" if "static" in path else "no-store")
        style = re.search(r"/dashboard/static/dashboard\.css\?v=\w+", client.get("/dashboard").text)
        assert style
        assert "immutable" in client.get(style[0]).headers["cache-control"]
        for name in ("../routes.py", "%2e%2e/routes.py", "nothing.css", "uplot/LICENSE/../../../pages.py"):
            assert client.get(f"/dashboard/static/{name}").status_code == 404


def test_the_cookie_is_for_the_dashboard_alone_and_secure_behind_https(place: Place) -> None:
    with place.server.client() as client:
        plain = client.post("/dashboard/sign-in", data={"key": place.host}).headers["set-cookie"]
        https = {"X-Forwarded-Proto": "https"}
        secure = client.post("/dashboard/sign-in", data={"key": place.host}, headers=https).headers["set-cookie"]
    for cookie in (plain, secure):
        parts = [part.strip().lower() for part in cookie.split(";")]
        assert {"httponly", "samesite=strict", "path=/dashboard", "max-age=28800"} <= set(parts)
        assert place.host not in cookie
    assert "secure" not in plain.lower()
    assert "secure" in secure.lower()


def test_a_wrong_key_is_told_so_after_a_moment(place: Place) -> None:
    with place.server.client() as client:
        for wrong in ("", "hs_wrong", place.host[:-1], place.host + "x", "x" * 5000):
            answer = client.post("/dashboard/sign-in", data={"key": wrong})
            assert answer.status_code == 401
            assert "set-cookie" not in answer.headers
            assert answer.elapsed.total_seconds() >= 0.45
            assert "not known" in answer.text
        assert client.post("/dashboard/sign-in", data={"key": "x" * 50_000}).status_code == 401
    assert place.host not in place.server.log


def test_a_party_cannot_see_others_by_any_parameter(place: Place) -> None:
    with client_of(place, place.host) as client:
        # 1,239 of its own are in it as soon as they are on disk; those of the other party never
        # are.
        page = page_with(client, "", "2,239")
        assert "778,782" not in page
        assert "Other" not in page
        for asked in (
            "?party=1",
            "?party=3",
            "?party=-1",
            "?party=all",
            "?party=",
            "?party=02",
            "?party=Other",
            "?party=2&party=3",
        ):
            answer = client.get(f"/dashboard{asked}")
            assert (answer.status_code, "778,782" in answer.text) == (403, False), asked
            assert client.get(f"/dashboard/live{asked}").status_code == 403
        assert client.get("/dashboard?party=2").status_code == 200
        eventually(lambda: client.get("/dashboard/live").json()["checked"] == 2239)
        assert client.get("/dashboard/parties").status_code == 403
        sets = client.get("/dashboard/sets").text
        assert "police" in sets
        assert "Generations" not in sets
        for text in (page, sets):
            assert "/dashboard/parties" not in text
    with client_of(place, place.owner) as client:
        eventually(lambda: client.get("/dashboard/live").json()["checked"] == 2239 + 778_782)
        eventually(lambda: client.get("/dashboard/live?party=3").json()["checked"] == 778_782)
        page_with(client, "?party=3", "778,782")
        assert client.get("/dashboard?party=99").status_code == 404


def test_names_are_text_and_nothing_else(place: Place) -> None:
    with client_of(place, place.owner) as client:
        name, category = "&lt;script&gt;alert(&#39;owned&#39;)", "&lt;i&gt;cat&lt;/i&gt;"
        for path, words in {
            "": [category, "A-1 of set police, says &lt;script&gt;"],
            "/parties": [name],
            "?party=2": [name, category],
            "?party=3": ["Other &amp; Sons &lt;b&gt;", category],
        }.items():
            page = page_with(client, path, *words)
            assert "alert('owned')<" not in page
            assert "<b>" not in page
            assert "<i>" not in page


def test_forms_of_other_sites_are_refused(place: Place) -> None:
    with client_of(place, place.host) as client:
        token = form_token(client)
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.example"},
        ):
            assert client.post("/dashboard/sign-out", data={"token": token}, headers=headers).status_code == 403
            assert client.post("/dashboard/sign-in", data={"key": place.host}, headers=headers).status_code == 403
        for wrong in ({}, {"token": ""}, {"token": "0" * 64}):
            assert client.post("/dashboard/sign-out", data=wrong).status_code == 403
        assert client.get("/dashboard").status_code == 200
        own = {"Origin": place.server.url}
        answer = client.post("/dashboard/sign-out", data={"token": token}, headers=own)
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/sign-in")
        assert client.get("/dashboard").status_code == 303


def test_a_removed_key_and_a_disabled_party_end_their_sessions_within_a_second(place: Place) -> None:
    key = add_party(place.data, "leaving")
    knows(place.server, key)

    def party(*arguments: str) -> None:
        assert run("party", *arguments, "--data-dir", place.data, cwd=place.data.parent).code == 0

    with client_of(place, key) as client:
        assert client.get("/dashboard").status_code == 200
        party("disable", "leaving")
        eventually(lambda: statuses(place, client) == {303}, within=1)
        party("enable", "leaving")
        eventually(lambda: statuses(place, client) == {200}, within=1)
        shown = run("party", "show", "leaving", "--json", "--data-dir", place.data, cwd=place.data.parent).json
        party("remove-key", "leaving", str(shown["keys"][0]["number"]))
        eventually(lambda: statuses(place, client) == {303}, within=1)


def test_without_parties_it_is_open_on_this_machine(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server, server.client() as client:
        page = client.get("/dashboard")
        assert page.status_code == 200
        assert "Nothing can match" in page.text
        assert "Sign out" not in page.text
        assert client.get("/dashboard/parties").status_code == 200
        assert client.get("/dashboard/sign-in").headers["location"] == "/dashboard"


def sign_in(driver: webdriver.Chrome, place: Place, key: str) -> None:
    driver.get(f"{place.url}/sign-in")
    driver.find_element(By.ID, "key").send_keys(key + Keys.ENTER)
    eventually(lambda: driver.find_elements(By.ID, "now"))


@needs_browser
def test_signing_in_and_out_with_the_keyboard_alone(place: Place, tmp_path: Path) -> None:
    with browsing(tmp_path / "profile") as driver:

        def press(*keys: str) -> None:
            webdriver.ActionChains(driver).send_keys(*keys).perform()

        driver.get(place.url)
        assert driver.current_url.endswith("/sign-in")
        press("hs_wrong", Keys.TAB, Keys.ENTER)
        failure = eventually(lambda: driver.find_elements(By.CSS_SELECTOR, "[role=alert]"))
        assert "not known" in failure[0].text
        assert all("401" in line for line in complaints(driver))
        press(place.owner, Keys.ENTER)
        eventually(lambda: driver.find_elements(By.ID, "now"))
        press(Keys.TAB)
        focused = driver.switch_to.active_element
        assert focused.text == "Skip to the figures"
        assert focused.value_of_css_property("outline-style") == "solid"
        seen = []
        for _ in range(12):
            press(Keys.TAB)
            seen.append(driver.switch_to.active_element.text)
            if seen[-1] == "Sign out":
                break
        assert seen == ["hashserver", "Overview", "Sets", "Parties", "Sign out"]
        press(Keys.ENTER)
        eventually(lambda: driver.find_elements(By.ID, "key"))
        driver.get(f"{place.url}/parties")
        assert driver.current_url.endswith("/sign-in")
        assert complaints(driver) == []


@needs_browser
def test_pages_work_in_light_and_dark_narrow_and_wide_with_a_quiet_console(place: Place, tmp_path: Path) -> None:
    with browsing(tmp_path / "profile") as driver:
        sign_in(driver, place, place.owner)
        eventually(lambda: driver.find_element(By.ID, "rate-note").text == "in the last seconds")
        eventually(lambda: driver.find_elements(By.CSS_SELECTOR, "#live canvas"))
        colours = set()
        for scheme in ("light", "dark"):
            prefer(driver, scheme)
            for width in (400, 1280, 2200):
                resize(driver, width)
                for page in ("", "/sets", "/parties", "?party=2"):
                    driver.get(place.url + page)
                    wide = driver.execute_script("return document.documentElement.scrollWidth")
                    assert wide <= width, (page, scheme)
                    photograph(driver, tmp_path / f"{scheme}-{width}{page.strip('/?')}.png")
            colours.add(driver.find_element(By.TAG_NAME, "body").value_of_css_property("background-color"))
        assert len(colours) == 2
        assert not driver.find_elements(By.CSS_SELECTOR, "main script")
        assert complaints(driver) == []


@needs_browser
def test_the_policy_stops_what_would_get_past_escaping(place: Place, tmp_path: Path) -> None:
    with browsing(tmp_path / "profile") as driver:
        sign_in(driver, place, place.owner)
        driver.execute_script(
            "const script = document.createElement('script'); script.textContent = 'window.owned = 1';"
            "document.body.append(script);"
        )
        assert driver.execute_script("return window.owned") is None
        assert any("Content Security Policy" in line for line in complaints(driver))


@needs_browser
def test_tables_are_there_without_javascript(place: Place, tmp_path: Path) -> None:
    with browsing(tmp_path / "profile", script=False) as driver:
        sign_in(driver, place, place.owner)
        assert driver.find_element(By.ID, "rate-note").text == "average of this hour"
        captions = [one.text for one in driver.find_elements(By.TAG_NAME, "caption")]
        assert {"The last twelve months", "Hits by category", "Hits by set"} <= set(captions)
        assert len(driver.find_elements(By.CSS_SELECTOR, ".chart rect")) == 2 * 30 + 2 * 12

        def days() -> list[str]:
            driver.refresh()
            driver.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
            return [row.text for row in driver.find_elements(By.CSS_SELECTOR, "#days tbody tr")]

        assert len(days()) == 30
        eventually(lambda: "781,021" in days()[0])
        driver.find_element(By.LINK_TEXT, "Parties").click()
        assert HOSTILE in driver.find_element(By.TAG_NAME, "table").text


@needs_browser
def test_a_removed_key_ends_an_open_page(place: Place, tmp_path: Path) -> None:
    key = add_party(place.data, "watching")
    knows(place.server, key)
    with browsing(tmp_path / "profile") as driver:
        sign_in(driver, place, key)
        run("party", "disable", "watching", "--data-dir", place.data, cwd=place.data.parent)
        eventually(lambda: driver.current_url.endswith("/sign-in"))
