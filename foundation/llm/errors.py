"""The words for what can go wrong with a model. Small and picklable: no key, no prompt, no provider object
inside."""

from __future__ import annotations

from foundation.teams.errors import PortalError


class LLMError(PortalError):
    """A call that gave no answer. `str(error)` is one sentence for people."""

    status = 502
    kind = "unknown"
    retryable = False
    # True when a call may have reached the model and been charged although no answer came.
    maybe_charged = False
    # Booked for this question although it has no answer: tries that were sent and lost, at their bound.
    cost_microusd = 0
    tries = 0
    pauses_job = False

    def __init__(
        self,
        sentence: str,
        *,
        retry_after_s: float | None = None,
        status_code: int | None = None,
        error_code: str = "",
        request_id: str = "",
        retryable: bool | None = None,
        maybe_charged: bool | None = None,
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.retry_after_s = retry_after_s
        self.status_code = status_code
        self.error_code = error_code
        self.request_id = request_id
        if retryable is not None:
            self.retryable = retryable
        if maybe_charged is not None:
            self.maybe_charged = maybe_charged

    def __reduce__(self):
        return _rebuild, (
            type(self),
            self.sentence,
            {k: v for k, v in self.__dict__.items() if k != "sentence"},
        )


def _rebuild(cls: type[LLMError], sentence: str, fields: dict) -> LLMError:
    error = cls(sentence)
    error.__dict__.update(fields)
    return error


class WrongKey(LLMError):
    kind = "wrong_key"


class NotPermitted(LLMError):
    kind = "not_permitted"


class UnknownModel(LLMError):
    kind = "unknown_model"


class BadRequest(LLMError):
    kind = "bad_request"


class RequestTooLarge(LLMError):
    kind = "too_large"


class RateLimited(LLMError):
    kind = "rate_limited"
    retryable = True


class SpendLimitReached(LLMError):
    """The provider's own spend limit: no retry can help, a person has to. A job that meets it pauses."""

    kind = "spend_limit"
    pauses_job = True


class Overloaded(LLMError):
    kind = "overloaded"
    retryable = True


class UpstreamFailed(LLMError):
    kind = "upstream_failed"
    retryable = True


class Unreachable(LLMError):
    kind = "unreachable"
    retryable = True


class TimedOut(LLMError):
    kind = "timed_out"
    retryable = True
    maybe_charged = True


class BrokenAnswer(LLMError):
    """An answer that ended early or cannot be read."""

    kind = "broken_answer"
    retryable = True
    maybe_charged = True


class NoPrice(LLMError):
    """The catalogue has no price for the model, so no cap could be kept."""

    kind = "no_price"
    status = 400


class NoBudget(LLMError):
    """A paid call without a cap, or a cap of nothing."""

    kind = "no_budget"
    status = 400


class BudgetReached(LLMError):
    """The next call could cross the cap, so it was not made."""

    kind = "budget_reached"
    status = 402
    pauses_job = True


class NoConnection(LLMError):
    kind = "no_connection"
    status = 400


class LocalModelFailed(LLMError):
    kind = "local_model"
    status = 500
