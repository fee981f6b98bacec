from __future__ import annotations

import ovirtsdk4
import pytest
from ovirtsdk4 import types


def test_data_center_by_the_sdk(sdk: ovirtsdk4.Connection) -> None:
    service = sdk.system_service().data_centers_service()
    made = service.add(types.DataCenter(name="north", description="the north", local=False))
    assert [c.name for c in service.list()] == ["Default", "north"]
    assert service.list(search="name=north")[0].id == made.id
    one = service.data_center_service(made.id)
    assert one.update(types.DataCenter(comment="")).description == "the north"
    one.remove()
    with pytest.raises(ovirtsdk4.NotFoundError):
        one.get()
