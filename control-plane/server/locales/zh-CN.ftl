# 实时页面，简体中文。键与 en.ftl 一致。
title = Tributary – 实时
tagline = 涓涓细流，汇成大江；谁引来了水，谁就得到报酬。
language = 语言
pause = 暂停
resume = 每 5 秒刷新
sign-out = 退出登录
tenants = 租户
no-tenant = 还没有租户。请用运营者密钥调用 POST /v1/tenants 创建。
hint-api = 这里的一切也都在 API 中：
geo-credits = 国家/地区数据来源：

health-ok = 各部分运行正常
health-degraded = 可用，但需要有人查看
health-unavailable = 尚未就绪

tile-clicks = 有效点击
tile-blocked = 被拦截的点击
tile-conversions = 转化
tile-day = 最近 24 小时
tile-ledger = 账本
ledger-balanced = 平衡
ledger-off = 不平衡
ledger-detail = { $accounts } 个账户在每种货币下合计为零

clicks = 点击
clicks-empty = 还没有点击。请打开一个推广链接。
conversions = 转化与佣金
conversions-empty = 还没有转化。请在演示商店下单，或发送一次回传。
statements = 结算单
statements-empty = 还没有关闭任何结算期。调用 POST /v1/settlements 即可关闭。
edges = 边缘节点
edges-empty = 还没有边缘节点加入。

col-time = 时间（UTC）
col-link = 链接
col-partner = 合作伙伴
col-country = 国家/地区
col-device = 设备
col-verdict = 判定
col-order = 订单
col-amount = 金额
col-commission = 佣金
col-why = 原因
col-period = 截至（UTC）
col-lines = 明细数
col-closing = 期末
col-hash = 哈希
col-name = 名称
col-version = 版本
col-seen = 最近在线（UTC）
col-status = 状态
col-events = 事件数

verdict-allow = 放行
verdict-flag = 标记
verdict-block = 拦截
verdict-rule = 规则 { $rule }，规则集 { $version }

device-unknown = 未知
device-desktop = 桌面
device-mobile = 手机
device-tablet = 平板
device-crawler = 爬虫
device-appliance = 家电
device-other = 其他

country-unknown = 未知

status-pending = 待定
status-approved = 已批准
status-reversed = 已冲销
status-clawed_back = 已追回
status-none = 无佣金
status-active = 正常
status-revoked = 已吊销
status-quarantined = 已隔离

authority-pixel = 像素
authority-token_postback = 带令牌的回传
authority-signed = 广告主的签名报告

why-won = { $considered ->
        [1] 经由 { $partner }、发生于 { $at } 的点击胜出；它是唯一的候选。
       *[other] 经由 { $partner }、发生于 { $at } 的点击胜出；它是从 { $considered } 个候选中选出的。
    }
why-unvouched = 有 { $count } 次更近的点击仅由页面担保，未被采用。
why-percentage = { $base } 的 { $rate }% 为 { $result }（条款第 { $version } 版）。
why-flat = 固定 { $result }（条款第 { $version } 版）。
why-share = { $partner } 分得 { $share } % 的归因份额（条款第 { $version } 版）：{ $amount }，{ $status }：{ $reason }。
why-nobody = 未归于任何人：{ $reason }。
why-conflicts = 有 { $count } 份报告与之不符，未被采信。
why-status = { $status }：{ $reason }。
why-reported = 来源：{ $authority }。

reason-won = 胜出
reason-older = 更近的点击胜出
reason-newer = 首次点击胜出
reason-shared = 与其他点击分享归因
reason-no_share = 条款的归因模型未分配份额
reason-unvouched = 该点击仅由页面担保，而胜出的点击有更可靠的担保
reason-outside_window = 点击超出归因窗口
reason-after_conversion = 点击晚于转化
reason-blocked = 点击被规则拦截
reason-test = 测试点击
reason-no_terms = 当时没有生效的条款
reason-other_tenant = 点击属于另一个网络
reason-superseded = 更高权威的报告指明了另一次点击
reason-no_click = 未指明点击，客户也没有绑定的点击
reason-blocked_click = 点击被规则拦截
reason-test_click = 测试点击
reason-unknown_goal = 该优惠不为此目标付费
reason-amount_differs = 金额不一致
reason-currency_differs = 货币不一致
reason-click_differs = 点击不一致
reason-coupon_differs = 优惠码不一致
reason-invalid_amount = 金额无效
reason-awaiting_amount = 等待金额
reason-awaiting_confirmation = 等待广告主确认像素
reason-awaiting_delivery = 等待交付
reason-awaiting_hold = 等待保留期结束
reason-delivered = 订单已交付
reason-hold_elapsed = 保留期已结束
reason-no_hold = 条款没有保留期
reason-period_closed = 结算期已关闭
reason-cancelled = 订单已取消
reason-charged_back = 付款被拒付
reason-refunded = 订单已退款
reason-returned = 订单已退货
reason-not_credited = 更高权威的报告归于他人
reason-commission_out_of_range = 佣金超出范围

login-title = 登录
login-how = 请打开 `tributary up` 打印的一次性链接。它只能使用一次，30 分钟内有效。
login-bad = 此链接已被使用或已过期。请重新启动 `tributary up` 以获取新的链接。

# 演示商店与推广页面。
demo-publisher-kicker = 机器人测评
demo-publisher-title = 我们愿意再买一次的机器人
demo-publisher-text = 我们修剪了三片草坪，也用它把采购的东西运回了家。您通过我们的链接购买时，厂商会付给我们佣金，您无需多付一分钱。
demo-publisher-button = 查看今日价格
demo-publisher-link = 按钮背后的推广链接：
demo-shop-kicker = Meadow Robotics（演示商店）
demo-shop-title = 家用与庭院机器人
demo-shop-buy = 购买
demo-shop-consent = 可以记住是谁推荐您来的吗？这样您以后的购买也能归功于推荐者。
demo-shop-agree = 可以，请记住
demo-product-mower = Meadow M1
demo-product-mower-about = 安静的割草机器人，适合 800 平方米草坪
demo-product-scooter = Glide S
demo-product-scooter-about = 折叠电动滑板车，续航 45 公里
demo-product-cart = Porter
demo-product-cart-about = 会跟您回家的购物车
demo-thanks-title = 感谢您的订购
demo-thanks-order = 您的订单号：
demo-thanks-postback = 商店服务器已通知边缘节点，答复为：
demo-thanks-deliver = 标记为已送达
demo-thanks-delivered = 已送达
demo-thanks-live = 在实时页面查看结果
demo-thanks-back = 返回推广页面
