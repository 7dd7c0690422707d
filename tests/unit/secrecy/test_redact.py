"""Planted secrets of every kind are found, and clean code is left alone."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from academy.curation.people import mask_people
from academy.secrecy.checks import looks_random
from academy.secrecy.redact import redact
from academy.secrecy.rules import RULES

HEX = "0123456789abcdef"
ALNUM = string.ascii_letters + string.digits
URL64 = ALNUM + "-_"
Draw = Callable[[random.Random], tuple[str, str]]


def _of(alphabet: str, length: int) -> Callable[[random.Random], str]:
    return lambda chance: "".join(chance.choices(alphabet, k=length))


def _token(prefix: str, alphabet: str, length: int, around: str = 'key = "{}"') -> Draw:
    def draw(chance: random.Random) -> tuple[str, str]:
        secret = prefix + _of(alphabet, length)(chance)
        return secret, around.format(secret)

    return draw


def _password(chance: random.Random) -> str:
    return (
        _of(string.ascii_letters, 6)(chance)
        + _of("!#%+=", 1)(chance)
        + _of("0123456789", 4)(chance)
    )


def _pem(chance: random.Random) -> tuple[str, str]:
    body = [_of(ALNUM + "+/", 64)(chance) for _ in range(6)]
    kind = chance.choice(
        ["RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY"]
    )
    lines = [f"-----BEGIN {kind}-----", *body, f"-----END {kind}-----"]
    return body[3], "\n".join("+" + line for line in lines)


def _jwt(chance: random.Random) -> tuple[str, str]:
    parts = ["eyJ" + _of(URL64, 30)(chance), "eyJ" + _of(URL64, 60)(chance), _of(URL64, 43)(chance)]
    return ".".join(parts), f'token: "{".".join(parts)}"'


def _sendgrid(chance: random.Random) -> tuple[str, str]:
    secret = f"SG.{_of(URL64, 22)(chance)}.{_of(URL64, 43)(chance)}"
    return secret, f"SENDGRID_API_KEY={secret}"


def _discord(chance: random.Random) -> tuple[str, str]:
    number = base64.urlsafe_b64encode(_of("123456789", 18)(chance).encode()).decode().rstrip("=")
    secret = f"{number}.{_of(ALNUM, 6)(chance)}.{_of(URL64, 38)(chance)}"
    return secret, f"client.run('{secret}')"


def _telegram(chance: random.Random) -> tuple[str, str]:
    secret = f"{_of('123456789', 10)(chance)}:AA{_of(ALNUM, 33)(chance)}"
    return secret, f"BOT = '{secret}'"


def _slack_hook(chance: random.Random) -> tuple[str, str]:
    tail = f"T{_of(ALNUM, 8)(chance)}/B{_of(ALNUM, 8)(chance)}/{_of(ALNUM, 24)(chance)}"
    return tail, f"curl https://hooks.slack.com/services/{tail}"


def _url(chance: random.Random) -> tuple[str, str]:
    secret = _password(chance).replace("#", "x").replace("%", "y")
    scheme = chance.choice(["postgres", "mongodb+srv", "redis", "https", "amqp"])
    return secret, f"DATABASE_URL={scheme}://admin:{secret}@db.internal:5432/app"


def _assigned(template: str) -> Draw:
    def draw(chance: random.Random) -> tuple[str, str]:
        secret = _password(chance)
        return secret, template.format(secret)

    return draw


def _named(template: str, alphabet: str, length: int) -> Draw:
    return _token("", alphabet, length, template)


def _heroku(chance: random.Random) -> tuple[str, str]:
    secret = "-".join(_of(HEX, n)(chance) for n in (8, 4, 4, 4, 12))
    return secret, f"HEROKU_API_KEY: {secret}"


PLANTED: dict[str, Draw] = {
    "aws access key": _token("AKIA", string.ascii_uppercase + "234567", 16),
    "aws secret key": _named('aws_secret_access_key = "{}"', ALNUM + "/+", 40),
    "github classic": _token("ghp_", ALNUM, 36),
    "github fine-grained": _token("github_pat_", ALNUM + "_", 82),
    "gitlab": _token("glpat-", URL64, 20),
    "slack bot": _token("xoxb-", ALNUM + "-", 50),
    "slack webhook": _slack_hook,
    "stripe": _token("sk_live_", ALNUM, 24),
    "google api": _token("AIza", URL64, 35),
    "google oauth": _token("GOCSPX-", URL64, 28),
    "openai": _token("sk-proj-", URL64, 74),
    "openai legacy": _token("sk-", ALNUM, 48),
    "anthropic": _token("sk-ant-api03-", URL64, 93),
    "hugging face": _token("hf_", string.ascii_letters, 34),
    "npm": _token("npm_", ALNUM, 36),
    "pypi": _token("pypi-AgEIcHlwaS5vcmc", URL64, 80),
    "sendgrid": _sendgrid,
    "twilio": _token("SK", HEX, 32),
    "mailgun": _token("key-", HEX, 32),
    "telegram": _telegram,
    "digitalocean": _token("dop_v1_", HEX, 64),
    "shopify": _token("shpat_", HEX, 32),
    "databricks": _token("dapi", HEX, 32),
    "vault": _token("hvs.", URL64, 90),
    "docker hub": _token("dckr_pat_", URL64, 27),
    "heroku": _heroku,
    "azure storage": _named("AccountKey={}==;EndpointSuffix=x", ALNUM + "+/", 86),
    "jwt": _jwt,
    "private key": _pem,
    "bearer header": _named("Authorization: Bearer {}", ALNUM, 40),
    "basic header": _named('headers["Authorization"] = "Basic {}=="', ALNUM, 30),
    "url credentials": _url,
    "password in python": _assigned('password = "{}"'),
    "password in yaml": _assigned("    password: {}"),
    "password in an environment file": _assigned("DB_PASSWORD={}"),
    "password in json": _assigned('  "passwd": "{}",'),
    "password in netrc": _assigned("machine example.com login me password {}"),
    "academy key": _token("aca_", URL64, 43, "Authorization: {}"),
    "academy ticket": _token("tkt_", URL64, 43, "wss://academy.example/logs?ticket={}"),
    "discord": _discord,
    "django": _token(
        "django-insecure-", ALNUM[:26] + "0123456789!@#$%^&*(-_=+)", 50, "SECRET_KEY = '{}'"
    ),
    "typed": _named('const apiKey string = "{}"', ALNUM, 24),
    "annotated": _named('API_KEY: str = "{}"', ALNUM, 24),
    "aligned": _named('API_KEY          = "{}"', ALNUM, 24),
    "called": _named('client.setApiKey("{}")', ALNUM, 24),
    "element": _named("<api_key>{}</api_key>", ALNUM, 24),
    "query": _named("https://x.example/?access_token={}&page=1", ALNUM, 24),
    "fall-back": _named('const key = process.env.API_KEY || "{}"', ALNUM, 24),
    "option": _named("run --api-key {}", ALNUM, 24),
    "kubernetes": _named('- name: API_KEY\n+  value: "{}"', ALNUM, 24),
    "laravel": _named("APP_SECRET=base64:{}=", ALNUM, 43),
    "license": _named('license_key = "{}"', ALNUM, 24),
    "generic api key": _named('api_key = "{}"', ALNUM, 32),
    "generic secret": _named("CLIENT_SECRET={}", ALNUM, 40),
    "macro": _named('#define API_KEY "{}"', ALNUM, 24),
    "macro of a password": _named('#  define WIFI_PASSWORD   "{}"', ALNUM, 20),
    "dockerfile": _named("ENV APP_SECRET_KEY {}", ALNUM, 32),
    "csh": _named("setenv API_TOKEN {}", ALNUM, 32),
    "next line": _named("    api_token:\n+      {}", ALNUM, 32),
    "folded": _named("  client_secret: >-\n+    {}", ALNUM, 32),
    "redis": _assigned("requirepass {}"),
    "curl": _assigned("curl -sS -u deploy:{} https://x.example/"),
    "curl, quoted": _assigned("curl https://x.example/ --user 'deploy:{}'"),
    "wireless": _assigned('    psk="{}"'),
    "generic token": _named('"auth_token": "{}"', HEX, 40),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_ten_planted_secrets_of_a_kind_are_all_redacted(kind: str) -> None:
    chance = random.Random(kind)
    for number in range(10):
        secret, line = PLANTED[kind](chance)
        before, after = "+import os\n", f"\n+value = {number}\n"
        found = redact(f"{before}+{line}{after}")
        assert secret not in found.text, line
        assert found.kinds
        assert found.text.startswith(before)
        assert found.text.endswith(after)


def test_at_least_22_kinds_are_planted_and_every_rule_compiles() -> None:
    assert len(PLANTED) >= 22
    assert len({rule.kind for rule in RULES}) >= 22
    for rule in RULES:
        redact("nothing here")
        assert rule.pattern


def test_clean_lines_raise_at_most_two_false_alarms_in_a_thousand() -> None:
    """Over the standard library's JSON, configuration and Python files, as added lines."""
    folder = Path(json.__file__).parents[1]
    lines = [
        "+" + line
        for path in sorted(folder.glob("*.py"))[:120]
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    assert len(lines) > 20_000
    flagged = [line for line in lines if redact(line).kinds]
    assert len(flagged) <= 0.002 * len(lines), flagged[:20]


@pytest.mark.parametrize(
    "line",
    [
        'password = "changeme"',
        "password = os.environ['PASSWORD']",
        'password = getpass.getpass("Password: ")',
        "password: ${DB_PASSWORD}",
        "self.token = token_factory(request)",
        "api_key = settings.openai_api_key_value",
        'secret_key = "your-secret-key-here-please"',
        "https://example.com:8080/path@version",
        "git@github.com:owner/name.git",
        "sha256: 0f343b0931126a20f133d67c2b018a3b",
        "def test_token_is_refreshed_after_one_hour(self):",
        "TOKEN_ADDRESS = 0x6B175474E89094C44Da98b954EedeAC495271d0F",
        'TOKEN_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abc"',
        "tokens_per_second = 1234567890.1234567",
        "tokens: 0x1234567890abcdef",
        "token = nextToken(previousToken2, request)",
        # names, paths, references to classes and digests beside telling words
        "OrganizationSettingsService.create.withDefaultPermissionsAndRoles(org)",
        "MembershipRepositoryFactory.create1.withDefaultPermissionsAndRoles2(org)",
        "const tokenizerVersion2 = 'cl100k_base_2023_03'",
        "page_token = next_page_token_v2_2024",
        "secretName: my-app-tls-cert-2024-prod",
        "credential_path=/home/runner/work/app2/creds.json",
        'cache = "key-0cc175b9c0f1b6a831c399e269772661"',
        'token_provider = "com.acme.security.oauth2.JwtTokenProvider2"',
        "token_class: Acme::Security::OAuth2::TokenFactory3",
        'secret_ref = "projects/my-project-2024/secrets/db-url/versions/3"',
        'token_hash = "5f4dcc3b5aa765d61d8327deb882cf99"',
        'secrets_sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"',
        'secret-package:\n  integrity "sha512-Zx9Kq2Lm8Rt4Vb6Nw1PhZx9Kq2Lm8Rt4Vb6Nw1PhZx9Kq2=="',
        "aws_commit: 1f3870be274f6c49b3e31a0c6728957f00000000",
        "passphrase_file=/etc/ssl/app2/private-key.pem",
        "password_class = 'org.acme.auth2.PasswordEncoder'",
        "api_key_name: 'x-acme-api-key-2024-primary'",
        "private_key_path: ./certs/2024/server-key-v2.pem",
        "#define TOKEN_LEFT_PARENTHESIS  TOKEN_KIND_17",
        "#define MAX_PASSWORD_LENGTH 128",
        "#define CKA_NSS_PASSWORD_CHECK 0xd5a0db00d5a0UL",
        "#define SECRET_KEY_BYTES crypto_box_SECRETKEYBYTES2",
        "ENV TOKEN_FILE /run/secrets/app2-token",
        "export PASSWORD_STORE_DIR ~/.password-store-2",
        "set token [lindex $argv 0]",
        "token:\n  description: The token that was given",
        "secret:\n    secretName: my-app-2-tls",
        "password:\n  type: string",
        "requirepass foobared",
        "requirepass ${REDIS_PASSWORD}",
        'curl -u "$USER:$TOKEN" https://x.example/',
        "curl -u user:password https://x.example/",
        "curl --user-agent Mozilla/5.0:compatible https://x.example",
        "#define OBJ_pkcs9_challengePassword OBJ_pkcs9,7L",
        "#define regToken OBJ_id_regCtrl,1L",
        "postgres://user:pass@host/db",
        "postgresql://scott:tiger@localhost/test",
        "http://username:password@host:8080",
        "redis://redis:6379@sha256",
        "https://user@example.com/x",
        "git+https://github.com/a/b@v1.2",
        "docker run -p 127.0.0.1:8080:80 x",
        "mysql -u root -p db",
        "cp -a source-2/dir target",
        "ls -a /home/x2 && docker login -u x",
        "nginx -p /etc/nginx2/conf",
        'auth: {"type": "basic"}',
        '"auth": "required"',
        "_auth = BasicAuth",
        "#define TOKEN_HANDLER TokenHandlerV2",
        "password:\n  type: string2here",
        "https://very-long-subdomain-name-of-host@v2",
        "tar -p archive_2024.tar",
        "https://sentry.io/a/b@1.2.3",
    ],
)
def test_placeholders_and_code_are_left_alone(line: str) -> None:
    assert redact(line).text == line


def test_a_value_must_look_random_where_only_a_name_speaks_for_it() -> None:
    assert looks_random(b"S3cr3t!pass")
    assert not looks_random(b"password_field")
    assert not looks_random(b"aaaaaaaaaaa1")


def test_people_are_masked_and_repositories_are_not() -> None:
    text = "by Grace Hopper <grace@navy.mil>, mail ada@x.org or git@github.com:a/b, see Ada Writer"
    masked, changed = mask_people(text, "Ada Writer")
    assert changed
    assert masked == "by <NAME> <<EMAIL>>, mail <EMAIL> or git@github.com:a/b, see <NAME>"


@settings(deadline=None)
@given(st.text())
def test_redaction_never_fails_and_is_done_in_one_pass(text: str) -> None:
    once = redact(text)
    if not once.kinds:
        assert once.text == text
    mask_people(text, "Ada Writer")


#: As people write them: the form, and the secret in it.
WRITTEN = (
    ("curl -X POST \\\n  -u ada:{} \\\n  https://a.io", "k9Xp2QvB71mZ"),
    ("curl -su ada:{} https://a.io", "k9Xp2QvB71mZ"),
    ("curl -u :{} https://a.io", "k9Xp2QvB71mZ"),
    ("curl 'https://a.io/x?y|z' -u ada:{}", "k9Xp2QvB71mZ"),
    ("ENV API_TOKEN {} # c", "aB3xkd92LxQQzz77Pp01"),
    ("ENV DB_SECRET {} \\\n  X 1", "aB3xkd92LxQQzz77Pp01"),
    ("set -gx API_TOKEN {}", "aB3xkd92LxQQzz77Pp01"),
    ("setx API_TOKEN {}", "aB3xkd92LxQQzz77Pp01"),
    ("ENV DB_PASSWORD {}", "S3cr3tPa55"),
    ("ENV DB_PASSWORD {}", "hunter2-Zebra9"),
    ('SetEnv DB_PASSWORD "{}"', "hunter2-Zebra9"),
    ("- name: DB_PASSWORD\n  value: {}", "hunter2-Zebra9"),
    ("api_token: |2-\n  {}\n", "aB3xkd92LxQQzz77Pp01"),
    ("api_token: | # c\n  {}\n", "aB3xkd92LxQQzz77Pp01"),
    ("api_token: !!str\n  {}\n", "aB3xkd92LxQQzz77Pp01"),
    ("password: |\n  {}", "S3cr3t!Pa55"),
    ("private_key: |\n  {}", "aB3xkd92LxQQzz77Pp01"),
    ("redis-server --requirepass {}", "Tr0ub4dor&3x"),
    ("REQUIREPASS {}", "pGd8wQz71LmN"),
    ("redis-cli -a {}", "k9Xp2QvB71mZ"),
    ("psk={}", "blue7Horse9x"),
    ('#define WIFI_PSK "{}"', "blue7Horse9x"),
    (
        "git clone https://{}:x-oauth-basic@github.com/a/b",
        "a3f5c1d2e4b6978877665544332211aabbccddee",
    ),
    ("https://{}@dev.azure.com/org/p", "q7w3n5zx2kd8vb4hj6mt9rypc3sf5gal7eu2oi8xk4nw6qz9bvhd"),
    ("APP_KEY=base64:{}", "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="),
    ("//registry.npmjs.org/:_auth={}", "YWRhOms5WHAyUXZCNzFtWg=="),
    ('{{"auths": {{"x": {{"auth": "{}"}}}}}}', "YWRhOms5WHAyUXZCNzFtWg=="),
    (
        "tls.key: {}",
        "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JSUV2UUlCQURBTkJna3Foa2lHOXcwQkFRRUZBQVND",
    ),
    ('"{{\\"password\\":\\"{}\\"}}"', "k9Xp2QvB71mZ"),
    ('variable "db_password" {{\n  default = "{}"\n}}', "hunter2-Zebra9"),
    ('variable "db_password" {{\n  type = string\n  default = "{}"\n}}', "hunter2-Zebra9"),
    ('proxy_set_header X-Api-Key "{}";', "aB3xkd92LxQQzz77Pp01"),
    ('set $api_key "{}";', "aB3xkd92LxQQzz77Pp01"),
    ("default login ada password {}", "k9Xp2QvB71mZ"),
    ("machine x login ada account y password {}", "k9Xp2QvB71mZ"),
    ("PresharedKey = {}", "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="),
    ("mysql -u root -p{} db", "k9Xp2QvB71mZ"),
    ("sshpass -p '{}' ssh x", "k9Xp2QvB71mZ"),
    ("docker login -u a -p {}", "k9Xp2QvB71mZ"),
    ("CREATE USER ada WITH PASSWORD '{}'", "k9Xp2QvB71mZ"),
    ("CREATE USER 'a'@'b' IDENTIFIED BY '{}'", "k9Xp2QvB71mZ"),
    ("postgres://ada:{}@db/x", "k9Xp2QvB71mZ"),
)


@pytest.mark.parametrize(("form", "secret"), WRITTEN, ids=[form for form, _ in WRITTEN])
def test_secrets_are_found_in_the_files_where_people_keep_them(form: str, secret: str) -> None:
    for sign in ("", "+"):
        text = f"{sign}{form.format(secret)}\n".replace("\n", f"\n{sign}")
        assert secret not in redact(text).text


def test_a_certificate_stays_and_a_key_without_its_end_does_not() -> None:
    line = "MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ"
    body = "\n".join([line] * 5)
    certificate = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
    assert redact(certificate).text == certificate
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n"
    assert redact(key + "!").text == "<SECRET:private_key>!"
    whole = f"{key}-----END RSA PRIVATE KEY-----"
    assert redact(f"a {whole} b {whole} c").text == (
        "a <SECRET:private_key> b <SECRET:private_key> c"
    )
    far = f"-----BEGIN PRIVATE KEY-----!{'x y ' * 5_000}-----END PRIVATE KEY-----"
    assert redact(far).text.startswith("<SECRET:private_key>!x y")
