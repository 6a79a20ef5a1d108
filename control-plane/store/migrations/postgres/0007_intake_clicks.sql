-- When a click's batch arrives, the conversions that already credit it are looked up.
CREATE INDEX intake_click ON intake (click_stream, click_ordinal) WHERE click_stream IS NOT NULL;
