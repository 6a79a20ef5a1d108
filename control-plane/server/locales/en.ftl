# The live page, in English. Every key stands in zh-CN.ftl, too.
title = Tributary – live
tagline = Many small streams, one river; and whoever sent the water is paid for it.
language = Language
pause = Pause
resume = Refresh every 5 seconds
sign-out = Sign out
tenants = Tenants
no-tenant = There is no tenant yet. Create one with POST /v1/tenants and an operator's key.
hint-api = Everything here is in the API, too:
geo-credits = Countries by:

health-ok = All parts work
health-degraded = Works, but somebody should look
health-unavailable = Not ready

tile-clicks = Clicks that count
tile-blocked = Blocked clicks
tile-conversions = Conversions
tile-day = last 24 hours
tile-ledger = Ledger
ledger-balanced = Balanced
ledger-off = Does not balance
ledger-detail = The sum over { $accounts } accounts is zero in every currency

clicks = Clicks
clicks-empty = No click yet. Follow a tracking link.
conversions = Conversions and commissions
conversions-empty = No conversion yet. Buy something in the demo shop, or send a postback.
statements = Statements
statements-empty = No period has been closed yet. POST /v1/settlements closes one.
edges = Edges
edges-empty = No edge has joined yet.

col-time = Time (UTC)
col-link = Link
col-partner = Partner
col-country = Country
col-device = Device
col-verdict = Verdict
col-order = Order
col-amount = Amount
col-commission = Commission
col-why = Why
col-period = Through (UTC)
col-lines = Lines
col-closing = Closing
col-hash = Hash
col-name = Name
col-version = Version
col-seen = Last seen (UTC)
col-status = Status
col-events = Events

verdict-allow = allowed
verdict-flag = flagged
verdict-block = blocked
verdict-rule = by { $rule }, rule set { $version }

device-unknown = unknown
device-desktop = desktop
device-mobile = phone
device-tablet = tablet
device-crawler = crawler
device-appliance = appliance
device-other = other

country-unknown = unknown

status-pending = pending
status-approved = approved
status-reversed = reversed
status-clawed_back = clawed back
status-none = no commission
status-active = active
status-revoked = revoked
status-quarantined = quarantined

authority-pixel = a pixel
authority-token_postback = a postback with token
authority-signed = the advertiser's signed report

why-won = { $considered ->
        [one] The click of { $at } through { $partner } won; it was the only one considered.
       *[other] The click of { $at } through { $partner } won, out of { $considered } considered.
    }
why-unvouched = { $count ->
        [one] One later click did not count: only a page vouched for it.
       *[other] { $count } later clicks did not count: only a page vouched for them.
    }
why-percentage = { $rate } % of { $base } is { $result } (terms version { $version }).
why-flat = A flat { $result } (terms version { $version }).
why-share = { $partner } has { $share } % of the credit (terms version { $version }): { $amount }, { $status }: { $reason }.
why-nobody = Nobody is credited: { $reason }.
why-conflicts = { $count ->
        [one] One report disagrees and was not believed.
       *[other] { $count } reports disagree and were not believed.
    }
why-status = { $status }: { $reason }.
why-reported = Reported by { $authority }.

reason-won = it won
reason-older = a later click won
reason-newer = the first click won
reason-shared = it shares the credit
reason-no_share = the model of the terms gives it nothing
reason-unvouched = only a page vouches for the click, and somebody better does for the one that won
reason-outside_window = the click was outside the window
reason-after_conversion = the click came after the conversion
reason-blocked = the click was blocked by a rule
reason-test = it was a test click
reason-no_terms = no terms were in force
reason-other_tenant = the click is another network's
reason-superseded = a report with higher authority named another click
reason-no_click = no click was named and none is bound to the customer
reason-blocked_click = the click was blocked by a rule
reason-test_click = it was a test click
reason-unknown_goal = the offer pays nothing for this goal
reason-amount_differs = the amount differs
reason-currency_differs = the currency differs
reason-click_differs = the click differs
reason-coupon_differs = the coupon differs
reason-invalid_amount = the amount is invalid
reason-awaiting_amount = waiting for an amount
reason-awaiting_confirmation = waiting for the advertiser to confirm the pixel
reason-awaiting_delivery = waiting for delivery
reason-awaiting_hold = waiting for the hold to run out
reason-delivered = the order was delivered
reason-hold_elapsed = the hold has run out
reason-no_hold = the terms have no hold
reason-period_closed = the period was closed
reason-cancelled = the order was cancelled
reason-charged_back = the payment was charged back
reason-refunded = the order was refunded
reason-returned = the order was returned
reason-not_credited = a higher authority credited somebody else
reason-commission_out_of_range = the commission is out of range

login-title = Sign in
login-how = Open the one-time link that `tributary up` printed. It works once, for 30 minutes.
login-bad = This link has been used or has expired. Start `tributary up` again to get another one.

# The demo shop and its publisher.
demo-publisher-kicker = The Robot Review
demo-publisher-title = Robots we would buy again
demo-publisher-text = We mowed three lawns and wheeled home the shopping. The makers pay us a commission when you buy through our link; it costs you nothing.
demo-publisher-button = See today's prices
demo-publisher-link = The tracking link behind the button:
demo-shop-kicker = Meadow Robotics (demo shop)
demo-shop-title = Robots for home and yard
demo-shop-buy = Buy
demo-shop-consent = May we remember who sent you here? Then a later purchase finds its way to them, too.
demo-shop-agree = Yes, remember
demo-product-mower = Meadow M1
demo-product-mower-about = A quiet robot mower for 800 m²
demo-product-scooter = Glide S
demo-product-scooter-about = A folding electric scooter, 45 km a charge
demo-product-cart = Porter
demo-product-cart-about = A cart that follows you home
demo-thanks-title = Thank you for your order
demo-thanks-order = Your order number is
demo-thanks-postback = The shop's server told the edge; its answer:
demo-thanks-deliver = Mark as delivered
demo-thanks-delivered = Delivered
demo-thanks-live = See what came of it on the live page
demo-thanks-back = Back to the publisher
