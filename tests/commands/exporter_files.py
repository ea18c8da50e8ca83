"""Small invented files in the layouts of exporters: a good review, with a title where they have one, and a bad one."""

import json
from typing import Any

DATE, SECONDS = "2026-03-01T10:11:12Z", 1772359872


def as_lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def play_review(stars: int, text: str) -> dict[str, Any]:
    comment = {
        "text": text,
        "lastModified": {"seconds": str(SECONDS), "nanos": 12000000},
        "starRating": stars,
        "reviewerLanguage": "en",
        "appVersionName": "1.2.3",
    }
    reply = {"developerComment": {"text": "Thanks!", "lastModified": {"seconds": "1772446272", "nanos": 0}}}
    return {"reviewId": f"r{stars}", "authorName": "A B", "comments": [{"userComment": comment}, reply]}


def connect_review(stars: int, title: str, text: str) -> dict[str, Any]:
    attributes = {
        "rating": stars,
        "title": title,
        "body": text,
        "reviewerNickname": "a b",
        "createdDate": "2026-03-01T10:11:12-08:00",
        "territory": "USA",
    }
    links = {"self": "https://api.appstoreconnect.apple.com/v1/customerReviews/1/relationships/response"}
    return {
        "type": "customerReviews",
        "id": f"r{stars}",
        "attributes": attributes,
        "relationships": {"response": {"links": links}},
        "links": links,
    }


def labels(**fields: str) -> dict[str, Any]:
    return {name.replace("im_", "im:"): {"label": label} for name, label in fields.items()}


def rss_review(stars: int, title: str, text: str) -> dict[str, Any]:
    when = "2026-03-01T10:11:12-07:00"
    review = labels(im_version="1.2.3", im_rating=str(stars), id=f"r{stars}", title=title, content=text, updated=when)
    return review | {"author": labels(name="a b", uri="https://itunes.apple.com/us/reviews/id1") | {"label": ""}}


LINK = {"href": "https://api.trustpilot.com/v1/x", "method": "GET", "rel": "next-page"}
TRUSTPILOT = {"language": "en", "createdAt": DATE, "updatedAt": None, "isVerified": False, "links": [LINK]}
AMAZON_2018 = {
    "verified": True,
    "reviewerID": "A1",
    "asin": "B1",
    "unixReviewTime": SECONDS,
    "reviewTime": "03 1, 2026",
}
AMAZON_2023 = {"images": [], "asin": "B1", "parent_asin": "B1", "user_id": "A1", "timestamp": SECONDS * 1000}
YELP = {"review_id": "r", "user_id": "u", "business_id": "b", "useful": 0, "date": "2026-03-01 10:11:12"}
FILES = {  # by preset: a name and the content
    "default": (
        "reviews.csv",
        "content,score,reviewCreatedVersion,at\nGood,5,1.2.3,2026-03-01\nBad,1,1.2.3,2026-03-01\n",
    ),
    "play_console": (
        "reviews_com.example_202603.csv",
        "Package Name,App Version Code,App Version Name,Reviewer Language,Device,Review Submit Date and Time,"
        "Review Submit Millis Since Epoch,Review Last Update Date and Time,Review Last Update Millis Since Epoch,"
        "Star Rating,Review Title,Review Text,Developer Reply Date and Time,Developer Reply Millis Since Epoch,"
        "Developer Reply Text,Review Link\n"
        f"com.example,7,1.2.3,en,pixel,{DATE},1,{DATE},1,5,Title,Good,,,,https://play.google.com/x\n"
        f"com.example,,1.2.3,en,pixel,{DATE},1,{DATE},1,1,,Bad,,,,https://play.google.com/x\n",
    ),
    "google_play_api": (
        "reviews.json",
        json.dumps(
            {"reviews": [play_review(5, "Good"), play_review(1, "Bad")], "tokenPagination": {"nextPageToken": "n"}}
        ),
    ),
    "google_play_scraper": (
        "reviews.csv",
        "reviewId,userName,userImage,content,score,thumbsUpCount,reviewCreatedVersion,at,replyContent,repliedAt,"
        "appVersion\na,A B,https://x,Good,5,0,1.2.3,2026-03-01 10:11:12,,,1.2.3\n"
        "b,A B,https://x,Bad,1,0,1.2.3,2026-03-01 10:11:12,,,1.2.3\n",
    ),
    "app_store_connect": (
        "reviews.json",
        json.dumps(
            {
                "data": [connect_review(5, "Title", "Good"), connect_review(1, "", "Bad")],
                "links": {"self": "https://api.appstoreconnect.apple.com/v1/apps/1/customerReviews"},
                "meta": {"paging": {"total": 2, "limit": 50}},
            }
        ),
    ),
    "app_store_scraper": (
        "reviews.csv",
        "date,isEdited,rating,review,title,userName\n2026-03-01 10:11:12,False,5,Good,Title,a b\n"
        "2026-03-01 10:11:12,False,1,Bad,,a b\n",
    ),
    "app_store_rss": (
        "reviews.json",
        json.dumps(
            {
                "feed": {
                    "author": labels(name="iTunes Store", uri="http://www.apple.com/itunes/"),
                    "entry": [rss_review(5, "Title", "Good"), rss_review(1, "", "Bad")],
                    "updated": {"label": DATE},
                    "title": {"label": "iTunes Store: Customer Reviews"},
                    "link": [
                        {"attributes": {"rel": rel, "href": "https://x"}} for rel in ("alternate", "self", "next")
                    ],
                }
            }
        ),
    ),
    "amazon_2014": (
        "Gift_Cards_5.json",
        as_lines(
            {"overall": 5.0, "reviewText": "Good", "summary": "Title"} | AMAZON_2018,
            {"overall": 1.0, "reviewText": "Bad"} | AMAZON_2018,
        ),
    ),
    "amazon_2023": (
        "Gift_Cards.jsonl",
        as_lines(
            {"rating": 5.0, "title": "Title", "text": "Good", "verified_purchase": True} | AMAZON_2023,
            {"rating": 1.0, "title": "", "text": "Bad", "verified_purchase": True} | AMAZON_2023,
        ),
    ),
    "yelp": (
        "yelp_academic_dataset_review.json",
        as_lines({"stars": 5.0, "text": "Good"} | YELP, {"stars": 1.0, "text": "Bad"} | YELP),
    ),
    "trustpilot": (
        "reviews.json",
        json.dumps(
            {
                "links": [LINK],
                "reviews": [
                    {"id": "a", "stars": 5, "title": "Title", "text": "Good"} | TRUSTPILOT,
                    {"id": "b", "stars": 1, "title": None, "text": "Bad"} | TRUSTPILOT,
                ],
            }
        ),
    ),
}
