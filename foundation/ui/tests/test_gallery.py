"""The gallery shows every part."""


def test_gallery_shows_every_part_to_a_signed_in_person(client_for, editor):
    response = client_for(editor).get("/ui/gallery/")
    assert response.status_code == 200
    assert b"The parts every page is built from" in response.content


def test_gallery_asks_a_stranger_to_sign_in(client, db):
    assert client.get("/ui/gallery/").status_code == 302
