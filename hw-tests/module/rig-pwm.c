// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A PWM chip on one GPIO line: makes the platform device that the kernel's pwm-gpio driver binds to, and tells the
 * driver which line is its own. On a board the device tree does this; a PC has none.
 *
 *   modprobe rig-pwm chip=rig-lines line=4
 */
#include <linux/err.h>
#include <linux/gpio/machine.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>

static char *chip = "rig-lines";
module_param(chip, charp, 0444);
MODULE_PARM_DESC(chip, "label of the GPIO chip");

static ushort line;
module_param(line, ushort, 0444);
MODULE_PARM_DESC(line, "offset of the line on it");

static struct gpiod_lookup_table *table;
static struct platform_device *device;

static int __init rig_pwm_init(void)
{
	/* Two entries: the table ends with an empty one. */
	table = kzalloc(struct_size(table, table, 2), GFP_KERNEL);
	if (!table)
		return -ENOMEM;
	table->dev_id = "pwm-gpio";
	table->table[0] = GPIO_LOOKUP(chip, line, NULL, GPIO_ACTIVE_HIGH);
	gpiod_add_lookup_table(table);

	device = platform_device_register_simple("pwm-gpio", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(device)) {
		gpiod_remove_lookup_table(table);
		kfree(table);
		return PTR_ERR(device);
	}
	return 0;
}

static void __exit rig_pwm_exit(void)
{
	platform_device_unregister(device);
	gpiod_remove_lookup_table(table);
	kfree(table);
}

module_init(rig_pwm_init);
module_exit(rig_pwm_exit);
MODULE_SOFTDEP("pre: gpio-sim pwm-gpio");
MODULE_DESCRIPTION("A pwm-gpio device on a GPIO line of one's choice");
MODULE_LICENSE("GPL");
