"""What a secret looks like: one rule a kind, in RE2's syntax.

Provenance: these rules were written for Academy after the token formats that the vendors publish
(prefix, alphabet, length; the vendor is in each rule's name). No rule was copied from another
scanner, so they are under this project's licence. `academy.secrecy.redact` applies them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from academy.secrecy.checks import (
    holds_private_key,
    is_discord_id,
    is_for_command,
    is_for_curl,
    is_name_and_password,
    is_no_cache_key,
    is_no_example,
    is_no_public_key,
    looks_like_aws_secret,
    looks_like_password,
    looks_like_token,
)

Check = Callable[[bytes, bytes], bool]


@dataclass(frozen=True)
class SecretRule:
    """A kind of secret. Group 1 is what gets replaced, or all of the match without a group.

    `check` is asked about the value and what stands before it on its line, where the form alone
    does not say enough: for rules that go by the name beside the value, above all.

    No pattern has a long counted gap: the automaton of all rules would have to remember for each
    place in it whether a match began there.
    """

    kind: str
    pattern: str
    check: Check | None = None
    #: Where a secret is a block: how it ends, some kilobytes behind its beginning at most. One
    #: without an end is what `pattern` matches.
    end: str | None = None


def _prefixed(kind: str, body: str, check: Check | None = None) -> SecretRule:
    """A token with a prefix of its own, standing alone as a word."""
    return SecretRule(kind, rf"(?:^|[^A-Za-z0-9_])({body})(?:[^A-Za-z0-9_]|$)", check)


_QUOTE = r"""["'`]"""
_KEY = r"[A-Za-z0-9_.\-]{0,40}"
#: `name = "value"`, `name: value`, `name => value`, also with the name quoted, aligned or typed;
#: `setName("value")`, `<name>value`, `env.NAME || "value"`.
_ASSIGN = (
    rf"\\?{_QUOTE}?\]?\s{{0,24}}(?::\s?[&\w\[\]?*]{{1,20}}\s{{0,3}}=|\s[&*]?(?:string|String)\s{{0,3}}=|:=|=>|==?"
    r"|:|,|>|\(|\|\||\?\?)\s{0,24}"
)

#: Names that say that a secret follows: something generated, or something that people chose.
_GENERATED = (
    r"(?:(?:api|access|secret|private)[_\-]?key|auth[_\-]?token|access[_\-]?token|token|secret)"
)
_CHOSEN = r"(?:passw(?:or)?d|passwd|passphrase|psk)"


def _named(kind: str, names: str, value: str, check: Check | None = None) -> SecretRule:
    """A value that only the name beside it gives away."""
    return SecretRule(
        kind,
        rf"(?i)(?:{names}){_KEY}{_ASSIGN}[bru]?{_QUOTE}?({value})(?:[^A-Za-z0-9+/_\-]|$)",
        check,
    )


def _by_either_name(kind: str, form: str) -> tuple[SecretRule, ...]:
    """A value whose name stands where `form` says ``NAME``, both for tokens and for passwords.

    ``LENGTH`` is where the form says how long a value is.
    """
    return tuple(
        SecretRule(kind, form.replace("NAME", names).replace("LENGTH", least + ",500"), check)
        for names, least, check in (
            (_GENERATED, "12", looks_like_token),
            (_CHOSEN, "8", looks_like_password),
        )
    )


RULES: tuple[SecretRule, ...] = (
    SecretRule(
        "private_key",
        r"-----BEGIN[A-Z0-9 ]{0,30} PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\s\\]*",
        end=r"-----END[A-Z0-9 ]{0,30} PRIVATE KEY(?: BLOCK)?-----",
    ),
    SecretRule(
        "private_key",
        r"PuTTY-User-Key-File-\d:",
        end=r"Private-MAC: ?[0-9a-fA-F]+",
    ),
    SecretRule(
        "private_key", r"\b(LS0tLS1CRUdJTi[A-Za-z0-9+/]{40}[A-Za-z0-9+/]*={0,2})", holds_private_key
    ),
    SecretRule(
        "key_material",
        r"(?:\n[ +\-]?[A-Za-z0-9+/]{64}){3,}(?:\n[ +\-]?[A-Za-z0-9+/=]{1,64})?",
        is_no_public_key,
    ),
    _prefixed("academy_key", r"aca_[A-Za-z0-9_\-]{43}"),
    _prefixed("academy_ticket", r"tkt_[A-Za-z0-9_\-]{43}"),
    _prefixed("age_key", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    _prefixed("aws_access_key", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}"),
    _named(
        "aws_secret_key",
        r"aws|secret_?access_?key|secret_?key",
        r"[A-Za-z0-9/+]{40}",
        looks_like_aws_secret,
    ),
    _prefixed("github_token", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _prefixed("github_token", r"github_pat_[A-Za-z0-9_]{40,255}"),
    _prefixed("gitlab_token", r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat)-[A-Za-z0-9_\-.]{20,80}"),
    _prefixed("bitbucket_token", r"ATBB[A-Za-z0-9]{32}"),
    _prefixed("atlassian_token", r"ATATT3[A-Za-z0-9_\-=]{40,250}"),
    _prefixed("slack_token", r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9\-]{10,250}"),
    _prefixed("slack_token", r"xapp-\d-[A-Za-z0-9\-]{20,250}"),
    SecretRule(
        "slack_webhook",
        r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_\-]{20,})",
    ),
    _prefixed("stripe_key", r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,250}"),
    _prefixed("stripe_webhook", r"whsec_[A-Za-z0-9+/=]{24,100}"),
    _prefixed("google_api_key", r"AIza[A-Za-z0-9_\-]{35}"),
    _prefixed("google_oauth_secret", r"GOCSPX-[A-Za-z0-9_\-]{20,40}"),
    SecretRule("google_oauth_token", r"(?:^|[^A-Za-z0-9_])(ya29\.[A-Za-z0-9_\-]{20,})"),
    _prefixed("anthropic_key", r"sk-ant-[A-Za-z0-9_\-]{20,200}"),
    _prefixed("openai_key", r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_\-]{20,250}"),
    _prefixed("openai_key", r"sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}|sk-[A-Za-z0-9]{40,64}"),
    _prefixed("openrouter_key", r"sk-or-v1-[0-9a-f]{64}"),
    _prefixed("huggingface_token", r"(?:hf|api_org)_[A-Za-z0-9]{30,60}"),
    _prefixed("groq_key", r"gsk_[A-Za-z0-9]{40,60}"),
    _prefixed("replicate_token", r"r8_[A-Za-z0-9]{37,40}"),
    _prefixed("nvidia_key", r"nvapi-[A-Za-z0-9_\-]{50,80}"),
    _prefixed("npm_token", r"npm_[A-Za-z0-9]{36}"),
    _prefixed("pypi_token", r"pypi-[A-Za-z0-9_\-]{50,250}"),
    _prefixed("rubygems_key", r"rubygems_[0-9a-f]{48}"),
    _prefixed("crates_token", r"cio[A-Za-z0-9]{32}"),
    _prefixed("docker_token", r"dckr_(?:pat|oat)_[A-Za-z0-9_\-]{27,40}"),
    _prefixed("sendgrid_key", r"SG\.[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{30,64}"),
    _prefixed("mailgun_key", r"key-[0-9a-f]{32}", is_no_cache_key),
    _prefixed("mailchimp_key", r"[0-9a-f]{32}-us\d{1,2}"),
    _prefixed("twilio_key", r"SK[0-9a-f]{32}"),
    _prefixed("twilio_account", r"AC[0-9a-f]{32}"),
    _named("twilio_token", r"twilio", r"[0-9a-f]{32}"),
    _prefixed(
        "discord_token",
        r"[MNO][A-Za-z0-9_\-]{23,27}\.[A-Za-z0-9_\-]{6,7}\.[A-Za-z0-9_\-]{27,40}",
        is_discord_id,
    ),
    SecretRule(
        "discord_webhook", r"discord(?:app)?\.com/api/webhooks/(\d{15,22}/[A-Za-z0-9_\-]{50,80})"
    ),
    _prefixed("telegram_token", r"\d{8,10}:AA[A-Za-z0-9_\-]{32,34}"),
    _prefixed("digitalocean_token", r"do[opr]_v1_[0-9a-f]{64}"),
    _prefixed("heroku_key", r"HRKU-[A-Za-z0-9_\-]{36,70}"),
    _named(
        "heroku_key",
        r"heroku",
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    ),
    _prefixed("shopify_token", r"shp(?:at|ca|pa|ss|ua)_[0-9a-fA-F]{32}"),
    _prefixed("square_token", r"sq0(?:atp|csp|idp)-[A-Za-z0-9_\-]{22,43}|EAAA[A-Za-z0-9_\-]{60}"),
    _prefixed("facebook_token", r"EAA[A-Za-z0-9]{80,250}"),
    _prefixed("azure_secret", r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.\-]{31,34}"),
    SecretRule(
        "azure_storage_key",
        r"(?i)(?:AccountKey|SharedAccessKey)\s{0,2}=\s{0,2}([A-Za-z0-9+/]{40,90}={0,2})",
    ),
    SecretRule("azure_sas", r"(?:[?&]|\b)sig=([A-Za-z0-9%+/]{40,80}(?:%3[dD]|=))"),
    _prefixed("databricks_token", r"dapi[0-9a-f]{32}(?:-\d)?"),
    _prefixed("new_relic_key", r"NR(?:AK|II|AL|JS)-[A-Z0-9a-z]{20,40}"),
    _prefixed("sentry_token", r"sntry[su]_[A-Za-z0-9+/=_]{40,250}"),
    _prefixed("grafana_token", r"gl(?:sa|c)_[A-Za-z0-9+/=_]{32,250}"),
    _prefixed("vault_token", r"hv[sbr]\.[A-Za-z0-9_\-]{24,250}"),
    SecretRule(
        "terraform_token", r"(?:^|[^A-Za-z0-9])([A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_\-]{60,70})"
    ),
    _prefixed("linear_key", r"lin_(?:api|oauth)_[A-Za-z0-9]{32,64}"),
    _prefixed("notion_token", r"ntn_[A-Za-z0-9]{40,50}|secret_[A-Za-z0-9]{43}"),
    _prefixed("figma_token", r"figd_[A-Za-z0-9_\-]{38,44}"),
    _prefixed("airtable_token", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    _prefixed("postman_key", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    _prefixed("supabase_key", r"sb(?:p|_secret|_publishable)_[A-Za-z0-9_\-]{20,60}"),
    _prefixed("planetscale_token", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_\-.]{32,64}"),
    _prefixed("doppler_token", r"dp\.(?:pt|st|ct|scim|audit)\.[A-Za-z0-9._\-]{40,60}"),
    _prefixed("tailscale_key", r"tskey-[a-z]+-[A-Za-z0-9\-]{15,60}"),
    _prefixed("cloudflare_key", r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,160}"),
    _named(
        "cloudflare_key", r"cloudflare|cf_api|cf_token", r"[A-Za-z0-9_\-]{37,40}", looks_like_token
    ),
    _named("datadog_key", r"datadog|dd_api|dd_app", r"[0-9a-f]{32,40}"),
    _named("okta_token", r"okta|ssws", r"00[A-Za-z0-9_\-]{40}"),
    _prefixed("jwt", r"eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{10,}"),
    SecretRule("django_secret_key", r"django-insecure-[^\s\"'`]{32,120}"),
    SecretRule(
        "django_secret_key",
        r"(?i)secret_?key[\"']?\]?\s{0,24}[=:,]\s{0,24}[\"']([^\s\"']{32,120})[\"']",
        looks_like_token,
    ),
    SecretRule(
        "option",
        r"(?i)--(?:api[_\-]?key|access[_\-]?token|auth[_\-]?token|token|secret|password)[ =]\s{0,3}"
        r"[\"']?([^\s\"'`<>{}$]{12,500})",
        looks_like_token,
    ),
    *_by_either_name(
        "named_value",
        r"(?i)name[\"']?:\s{0,3}[\"']?\w{0,40}NAME\w{0,20}[\"']?,?"
        r"\s{0,4}\n[ \t+\-]{0,40}[\"']?value[\"']?:\s{0,3}[\"']?([^\s\"'`<>{}$]{LENGTH})",
    ),
    *_by_either_name(
        "named_value",  # Terraform's
        r"(?i)\bvariable\s{1,4}[\"']\w{0,40}NAME\w{0,20}[\"']\s{0,4}\{[\s+\-]{0,40}"
        r"(?:\w{1,20}\s{0,20}=[^\n]*\n[\s+\-]{0,40}){0,3}default\s{0,20}=\s{0,4}\"([^\s\"`<>{}$]{LENGTH})\"",
    ),
    SecretRule(
        "authorization_header",
        rf"(?i)\b(?:bearer|token|basic|apikey)\s{{1,3}}{_QUOTE}?([A-Za-z0-9+/_\-.~]{{16,1000}}={{0,2}})",
        check=looks_like_token,
    ),
    SecretRule(
        "url_password",
        r"(?i)\b[a-z][a-z0-9+.\-]{1,20}://[^\s/:@\"'`<>{}$]{0,100}:([^\s/@\"'`<>{}\[\]$%*]{3,200})@[A-Za-z0-9\[]",
        is_no_example,
    ),
    SecretRule(
        "url_token",
        r"(?i)\bhttps?://([A-Za-z0-9_\-]{20,255})(?::(?:x-oauth-basic|x-token-auth)?)?@[A-Za-z0-9]",
        looks_like_token,
    ),
    *_by_either_name(
        "directive",  # of the C preprocessor, a Dockerfile, a shell, nginx: a name, blanks, a value
        r"(?im)(?:#\s{0,4}define|\benv|\barg|\bsetenv|\bsetx?|\bset\s-[a-z]{1,3}|\bexport"
        r"|\bproxy_set_header)\s{1,4}[$]?[\w\-]{0,40}NAME"
        r"[\w\-]{0,20}\s{1,24}[\"']?([^\s\"'`<>{}$=,;]{LENGTH})[\"']?\s{0,4}(?:$|[;&|/#\\])",
    ),
    *_by_either_name(
        "block_value",  # a value of YAML on the line below its name
        r"(?i)NAME\w{0,20}[\"']?:\s{0,3}(?:!!str\s{0,3})?(?:[|>][0-9+\-]{0,2})?[ \t]{0,3}"
        r"(?:#[^\n]*)?"
        r"\n[ \t+\-]{1,40}[\"']?([^\s\"'`<>{}$]{LENGTH})[\"']?\s{0,3}(?:\n|$)",
    ),
    SecretRule(
        "redis_password",
        r"(?im)^[ +\-]?\s{0,8}(?:requirepass|masterauth|sentinel auth-pass \S{1,60})\s{1,8}"
        r"[\"']?([^\s\"'`<>{}$]{6,200})",
        looks_like_password,
    ),
    SecretRule(
        "command_password",
        r"\s(?:-p|-a|--pass|--requirepass|--masterauth)[ =]?[\"']?([^\s\"'`<>{}$]{6,200})",
        is_for_command,
    ),
    SecretRule(
        "sql_password",
        r"(?i)\b(?:with\s{1,4}(?:encrypted\s{1,4})?password|identified\s{1,4}by)\s{1,4}'([^\s']{6,200})'",
        looks_like_password,
    ),
    SecretRule(
        "basic_auth",
        r"(?:\b_auth|[\"']auth[\"'])\s{0,2}[=:]\s{0,3}[\"']?([A-Za-z0-9+/]{8,500}={0,2})",
        is_name_and_password,
    ),
    SecretRule(
        "curl_password",
        r"\s(?:-[A-Za-z]{0,8}u|--user)[ =]?[\"']?[^\s:\"'$]{0,64}:([^\s\"'`<>{}$]{6,200})",
        is_for_curl,
    ),
    SecretRule(
        "netrc_password",
        r"\b(?:machine\s+\S+|default)\s+login\s+\S+(?:\s+account\s+\S+)?\s+password\s+"
        r"([^\s\"'<>{}$]{4,200})",
    ),
    SecretRule(
        "password",
        rf"(?i)(?:passw(?:or)?d|passwd|passphrase|\bpwd|_pwd|_pass\b|\bpass\b|_psk\b|\bpsk\b|\bpw\b){_KEY}{_ASSIGN}"
        rf"[bru]?\\?{_QUOTE}([^\s\"'`]{{6,200}}?)\\?{_QUOTE}",
        check=looks_like_password,
    ),
    SecretRule(
        "password",
        r"(?i)(?:passw(?:or)?d|passwd|passphrase|pwd|_pass|\bpsk)[\"']?\s{0,2}(?:=|:|>)\s{0,2}"
        r"([^\s\"'`,;(){}\[\]<>$&|]{8,200})(?:[\s\"'`,;&<]|$)",
        check=looks_like_password,
    ),
    SecretRule(
        "api_key",
        rf"(?i)(?:api[_\-. ]?key|apikey|access[_\-]?key|auth[_\-]?token|access[_\-]?token|secret"
        rf"|token|credential|(?:private|preshared|encryption|signing|auth|master|license|hmac|aes|account|app)"
        rf"[_\-]?key){_KEY}{_ASSIGN}[bruf@]?(?:{_QUOTE}|\\\"){{0,3}}(?:base64:)?"
        rf"([A-Za-z0-9+/_\-.=~!@#^*]{{16,500}})(?:[\s\"'`,;)}}\]&|<\\]|$)",
        check=looks_like_token,
    ),
)
