"""Elements that the tests of the field draw."""

import pytest
from support.field_elements import Elements


@pytest.fixture
def elements() -> Elements:
    return Elements(50)
